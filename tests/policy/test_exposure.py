"""A proxy that others reach has credentials, or does not start."""

import pytest

from shaper.policy.exposure import is_loopback, refuse_open_proxy
from shaper.policy.refused import RefusedError

LOOPBACK = ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"]
EXPOSED = ["0.0.0.0", "::", "", "192.0.2.1", "lab.example", "2001:db8::1"]


@pytest.mark.parametrize("listen", LOOPBACK)
def test_loopback_needs_no_credentials(listen):
    assert is_loopback(listen)
    refuse_open_proxy(listen, require_auth=False)


@pytest.mark.parametrize("listen", EXPOSED)
def test_any_other_address_needs_them(listen):
    assert not is_loopback(listen)
    with pytest.raises(RefusedError, match="without credentials; add --require-auth"):
        refuse_open_proxy(listen, require_auth=False)
    refuse_open_proxy(listen, require_auth=True)


@pytest.mark.parametrize(("listen", "shown"), [("", "every address"), ("192.0.2.1", "192.0.2.1")])
def test_a_refusal_names_the_address(listen, shown):
    with pytest.raises(RefusedError, match=f"^--listen: {shown}: others"):
        refuse_open_proxy(listen, require_auth=False)
