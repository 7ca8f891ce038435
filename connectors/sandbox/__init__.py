"""Local stand-ins for the four vendors over one simulated world; written from the contract side.

It knows nothing of how our connectors work, and no connector knows of it.
"""

from connectors.sandbox.server import Sandbox
from connectors.sandbox.world import Company, World

__all__ = ["Company", "Sandbox", "World"]
