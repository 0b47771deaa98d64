"""A proxy that others can reach asks who they are: an open proxy is abused within hours."""

from ipaddress import ip_address

from shaper.policy.refused import RefusedError


def refuse_open_proxy(listen: str, *, require_auth: bool) -> None:
    """Raise RefusedError if whoever reaches this address could use the proxy unnamed."""
    if not require_auth and not is_loopback(listen):
        shown = listen or "every address"
        raise RefusedError(
            f"--listen: {shown}: others could use this proxy without credentials",
            "add --require-auth with --volunteers, or listen on 127.0.0.1",
        )


def is_loopback(listen: str) -> bool:
    """Whether only this machine reaches the address. A name, other than localhost, could lead anywhere."""
    try:
        address = ip_address(listen.strip("[]"))
    except ValueError:
        return listen == "localhost"
    return address.is_loopback
