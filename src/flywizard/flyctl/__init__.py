"""What flyctl is told and what it says, as pure functions: argv, decoding, output phases."""
