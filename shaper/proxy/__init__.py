"""Floor 3: the seam to mitmproxy. Everything that touches mitmproxy, a socket or a clock is here."""
