import hashlib
import hmac
import json

TICKET = {"email": "you@example.com", "subject": "Printer", "body": "It is on fire"}


def test_health_is_shallow(client):
    client.pool.broken = True
    assert client.http.get("/health").json() == {"status": "ok"}


def test_ready_looks_at_the_database_and_the_topic(client):
    assert client.http.get("/ready").status_code == 200
    client.producer.topic_exists = False
    assert client.http.get("/ready").status_code == 503
    client.producer.topic_exists = True
    client.pool.broken = True
    assert client.http.get("/ready").status_code == 503


def test_a_ticket_is_stored_and_handed_to_the_worker(client):
    response = client.http.post("/api/tickets", json=TICKET)
    assert response.status_code == 202
    ((key, message),) = client.producer.sent
    assert key == response.json()["id"]
    assert message["body"] == TICKET["body"]
    tables = [sql.split()[2] for sql, _ in client.pool.statements]
    assert tables == ["customers", "tickets", "messages"]


def test_a_bad_ticket_is_refused_before_anything_is_stored(client):
    assert client.http.post("/api/tickets", json=TICKET | {"email": "nobody"}).status_code == 422
    assert client.pool.statements == []


def test_an_unknown_ticket_is_not_found(client):
    client.pool.answers = {"SELECT status": None}
    missing = "00000000-0000-0000-0000-000000000001"
    assert client.http.get(f"/api/tickets/{missing}").status_code == 404


def test_webhooks_need_the_right_signature(client, settings):
    body = json.dumps(TICKET).encode()
    good = hmac.new(settings.webhook_secret_key.encode(), body, hashlib.sha256).hexdigest()
    assert (
        client.http.post("/webhooks/inbound", content=body, headers={"X-Signature": "00"}).status_code == 401
    )
    assert client.producer.sent == []
    assert (
        client.http.post("/webhooks/inbound", content=body, headers={"X-Signature": good}).status_code == 202
    )
    assert len(client.producer.sent) == 1


def test_the_web_origin_may_call(client):
    answer = client.http.get("/health", headers={"Origin": "http://web.test"})
    assert answer.headers["access-control-allow-origin"] == "http://web.test"
    assert (
        "access-control-allow-origin"
        not in client.http.get("/health", headers={"Origin": "http://other.test"}).headers
    )
