"""The rehearsal platform: a simulated Fly.io with a database and a broker, on loopback."""
