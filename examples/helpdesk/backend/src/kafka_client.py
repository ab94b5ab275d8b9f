"""Kafka clients that speak plain text at home and SASL to a hosted broker."""

import json
import ssl
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from src.config import Settings


def connection(settings: Settings) -> dict[str, Any]:
    """Return the arguments that producer and consumer share."""
    protocol = settings.kafka_security_protocol.upper()
    arguments: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        "security_protocol": protocol,
    }
    if protocol.startswith("SASL_"):
        arguments["sasl_mechanism"] = settings.kafka_sasl_mechanism or "PLAIN"
        arguments["sasl_plain_username"] = settings.kafka_sasl_username
        arguments["sasl_plain_password"] = settings.kafka_sasl_password
    if protocol.endswith("SSL"):
        arguments["ssl_context"] = ssl.create_default_context()
    return arguments


class Producer:
    def __init__(self, settings: Settings) -> None:
        self.topic = settings.kafka_topic
        self._producer = AIOKafkaProducer(**connection(settings))

    async def start(self) -> None:
        await self._producer.start()

    async def stop(self) -> None:
        await self._producer.stop()

    async def send(self, key: str, value: dict[str, str]) -> None:
        await self._producer.send_and_wait(self.topic, json.dumps(value).encode(), key=key.encode())

    async def ready(self) -> bool:
        return bool(await self._producer.partitions_for(self.topic))


def consumer(settings: Settings) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        settings.kafka_topic,
        group_id=settings.kafka_group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        **connection(settings),
    )
