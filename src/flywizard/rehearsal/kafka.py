"""Owns the ``Kafka`` port of a rehearsal: the address as typed is read, the rest is proven on the stand-in broker."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from flywizard.adapters.kafka import KafkaProof
from flywizard.ports import KafkaSettings, Stage


class RehearsalKafka:
    """Proves against the stand-in at ``host:port`` whatever broker was typed; nothing leaves this machine."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._host = host
        self._port = port

    def _here(self, settings: KafkaSettings) -> KafkaSettings:
        protocol = "SASL_PLAINTEXT" if settings.protocol.startswith("SASL") else "PLAINTEXT"
        return replace(settings, bootstrap=f"{self._host}:{self._port}", protocol=protocol, ca_pem=None)

    async def prove(
        self,
        settings: KafkaSettings,
        topics: Sequence[str] = (),
        group: str | None = None,
        timeout: float = 8.0,
    ) -> AsyncGenerator[Stage, None]:
        """Yield the stages of the proof; a stage that the stand-in cannot play says so."""
        proof = KafkaProof()
        async with aclosing(proof.read_address(settings)) as stages:
            async for stage in stages:
                yield stage
                if stage.state == "failed":
                    return
        async with aclosing(proof.prove(self._here(settings), topics, group, timeout)) as stages:
            async for stage in stages:
                match stage.id:
                    case "parse":
                        continue
                    case "dns" | "tcp" if stage.state == "ok":
                        yield replace(stage, text=f"{stage.text} (the stand-in broker)")
                    case "tls" if stage.state == "skipped" and settings.protocol.endswith("SSL"):
                        yield replace(stage, text="not used: the stand-in broker speaks no TLS")
                    case _:
                        yield stage

    async def create_topics(
        self, settings: KafkaSettings, names: Sequence[str], timeout: float = 15.0
    ) -> dict[str, str]:
        """Create topics on the stand-in.

        Raises:
            StepError: it refused.
        """
        return dict(await KafkaProof().create_topics(self._here(settings), names, timeout))
