"""The lab's own surface: an API and a page on a port of their own, for whoever holds the token. See docs/control.md."""
