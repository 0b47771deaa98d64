"""The volunteers' site: consent, set up, test, glass box. Server-rendered; only bars and live lists need JavaScript."""
