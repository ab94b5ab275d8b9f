import asyncio
import json
from types import SimpleNamespace
from uuid import UUID

from src.kafka_client import connection
from src.workers.message_processor import consume, process

MESSAGE = UUID(int=7)


async def embed(text: str) -> list[float]:
    return [float(len(text)), 0.5]


def test_a_message_gets_its_embedding_and_article(pool):
    value = json.dumps({"message_id": str(MESSAGE), "body": "help"}).encode()
    asyncio.run(process(value, pool, embed))
    updates = [arguments for sql, arguments in pool.statements if sql.startswith("UPDATE messages")]
    assert updates == [(MESSAGE, "[4.00000000,0.50000000]", UUID(int=1))]
    assert any(sql.startswith("UPDATE tickets") for sql, _ in pool.statements)


def test_a_message_that_cannot_be_read_is_passed_over(pool):
    for value in (b"not json", b"{}", b'{"message_id": "x", "body": ""}', b"[]"):
        asyncio.run(process(value, pool, embed))
    assert pool.statements == []


def test_the_loop_commits_after_the_batch_and_stops_when_told(pool):
    stop = asyncio.Event()
    steps: list[str] = []

    class Source:
        async def getmany(self, timeout_ms: int, max_records: int):
            steps.append("read")
            value = json.dumps({"message_id": str(MESSAGE), "body": "help"}).encode()
            return {"partition": [SimpleNamespace(value=value)]}

        async def commit(self) -> None:
            steps.append("commit")
            stop.set()

    asyncio.run(consume(Source(), pool, embed, stop))
    assert steps == ["read", "commit"]
    assert any(sql.startswith("UPDATE messages") for sql, _ in pool.statements)


def test_plain_text_sends_no_sign_in(settings):
    assert connection(settings) == {"bootstrap_servers": "localhost:9092", "security_protocol": "PLAINTEXT"}


def test_a_hosted_broker_gets_user_password_and_tls(settings):
    hosted = settings.model_copy(
        update={
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_username": "user",
            "kafka_sasl_password": "not-a-password",
        }
    )
    arguments = connection(hosted)
    assert arguments["security_protocol"] == "SASL_SSL"
    assert arguments["sasl_mechanism"] == "PLAIN"
    assert arguments["sasl_plain_username"] == "user"
    assert arguments["ssl_context"].check_hostname is True
