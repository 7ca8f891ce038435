"""The fixed credentials for Zendesk, Mixpanel and HubSpot's OAuth.

They are public: that is why loopback only is served.
"""

from __future__ import annotations

import base64
import binascii

from starlette.requests import Request

ZENDESK_CLIENT = ("sandbox", "sandbox-zendesk")  # OAuth client id and secret
ZENDESK_REFRESH = "sandbox-zendesk-refresh"  # good for one use, as all that follow it
ZENDESK_TOKEN = ("admin@sandbox.test/token", "sandbox-token")  # basic, the legacy way
ZENDESK_AGENT = ("agent@sandbox.test/token", "sandbox-token")  # signs in, but is no admin
HUBSPOT_CLIENT = ("sandbox", "sandbox-hubspot-app")
HUBSPOT_REFRESH = "sandbox-hubspot-refresh"
MIXPANEL_ACCOUNT = ("sandbox.sa", "sandbox-mixpanel")
MIXPANEL_PROJECT = "1000001"


def basic(request: Request) -> tuple[str, str] | None:
    """User and password of a Basic authorization header; None when there is none that can be read."""
    kind, _, encoded = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if colon else None
