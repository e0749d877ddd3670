"""packetrig: a test-first rig for XDP and TC programs."""
