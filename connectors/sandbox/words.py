"""The words of the simulated world: names of companies and people, all invented, under `.example`."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


HEADS = _words("""
    Amber Birch Copper Dune Ember Fern Granite Hazel Indigo Juniper Kestrel Larch Maple Nickel Opal Pine
    Quartz Rowan Sable Thistle Umber Violet Willow Yarrow Zephyr Alder Basalt Cedar Drift Elder Flint Garnet
    Heather Iris Jasper Kelp Linden Marble Nettle Onyx
""")
TAILS = _words("""
    loom bridge harbor field gate mill stone brook forge path ridge well yard crest haven dock vale spring
    lane beacon grove point reach shore tide ward wick works holm bay
""")
KINDS = _words("""
    Labs Freight Foods Health Energy Studios Logistics Instruments Travel Insurance Textiles Systems
""")
GIVEN = _words("""
    Ana Bo Cleo Dev Eve Finn Gia Hugo Ines Jan Kai Lea Max Nia Otto Pia Rui Sam Tess Uma Vik Wren Yara Zoe
""")
FAMILY = _words("""
    Abel Berg Cruz Diaz Engel Frost Garcia Hahn Ito Jansen Klein Lund Marsh Novak Ortiz Park Quist Roy Sousa
""")
OWNERS = ("Ada Brook", "Ben Castillo", "Chiara Dahl", "Deniz Evans", "Elif Fournier", "Farah Grant")

_STEP = 463  # coprime with the number of pairs: neighbours get names that do not look alike


def company_name(number: int) -> str:
    """A name of its own for every number."""
    rounds, index = divmod(number, len(HEADS) * len(TAILS))
    head, tail = divmod(index * _STEP % (len(HEADS) * len(TAILS)), len(TAILS))
    again, shift = divmod(rounds, len(KINDS))
    kind = KINDS[(index + shift) % len(KINDS)]
    return f"{HEADS[head]}{TAILS[tail]} {kind}" + (f" {again + 1}" if again else "")


def domain(name: str) -> str:
    """The host name a company of this name has."""
    return name.lower().replace(" ", "-") + ".example"


def person_name(number: int) -> str:
    return f"{GIVEN[number % len(GIVEN)]} {FAMILY[number // len(GIVEN) % len(FAMILY)]}"
