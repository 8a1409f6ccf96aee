"""The live event stream: Socket.IO as the web client speaks it (CONTRACT section 5)."""
