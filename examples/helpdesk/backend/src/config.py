"""Settings, all from the environment."""

from functools import lru_cache

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_file=".env", extra="ignore")

    database_url: str
    database_pool_size: int = 5

    kafka_bootstrap_servers: str
    kafka_security_protocol: str = "PLAINTEXT"
    kafka_sasl_mechanism: str | None = None
    kafka_sasl_username: str | None = None
    kafka_sasl_password: str | None = None
    kafka_topic: str = "inbound-messages"
    kafka_group: str = "helpdesk-workers"

    openai_api_key: str
    webhook_secret_key: str

    cors_origins: list[str] = []
    """A JSON list, such as ["https://helpdesk.example.com"]."""
    log_level: str = "info"


@lru_cache
def get_settings() -> Settings:
    return Settings()
