#!/bin/sh
# Puts the jars of a real Kafka broker into .cache/kafka, for the tests marked "kafka". Needs Java 17+ and Maven.
set -eu
cd "$(dirname "$0")/.."
if ls .cache/kafka/kafka_2.13-*.jar >/dev/null 2>&1; then
    exit 0
fi
for tool in java mvn; do
    command -v "$tool" >/dev/null || { echo "fetch-kafka: $tool is not installed" >&2; exit 1; }
done
mkdir -p .cache
mvn -q -B -f tests/support/kafka-pom.xml dependency:copy-dependencies -DoutputDirectory="$PWD/.cache/kafka"
