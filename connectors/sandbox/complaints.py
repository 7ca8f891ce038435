"""What people write to support: calm, angry, and in languages an English lexicon does not know."""

from __future__ import annotations

CALM = (
    (
        "How do I add a teammate?",
        "Hi, could you show me where to add a new teammate? Thanks, the product is great.",
    ),
    (
        "Export to a spreadsheet",
        "I would like to export the weekly report to a spreadsheet. Is there a good way?",
    ),
    (
        "Question about the invoice",
        "Hello, please send us last month's invoice again. Thank you, have a nice day.",
    ),
    (
        "Where is the new dashboard?",
        "I read about the new dashboard and love the idea. How do we switch it on?",
    ),
    (
        "API key for our integration",
        "We want to connect our warehouse. Where do we get a key? Happy to test early.",
    ),
    (
        "Small display problem",
        "The chart on the second page is cut off on small screens. Not urgent, thanks.",
    ),
)
ANGRY = (
    (
        "Still broken",
        "This is the third time I write. The export fails, the answer was useless and I am angry.",
    ),
    (
        "Unacceptable downtime",
        "Your service failed again during our worst week. This is terrible and unacceptable.",
    ),
    (
        "Nobody answers",
        "We are very disappointed. Nobody answers, the problem is worse and we are losing money.",
    ),
    (
        "We want to cancel",
        "The product is slow, the support is awful and we hate working with it. How do we cancel?",
    ),
    ("Data is wrong", "The numbers are wrong once more. My boss is furious and I can not trust this report."),
)
FOREIGN = (
    (
        "Export funktioniert nicht",
        "Guten Tag, der Export funktioniert seit gestern nicht mehr. Bitte um Hilfe.",
    ),
    ("Rechnung fehlt", "Wir haben die Rechnung für den letzten Monat nicht erhalten. Vielen Dank im Voraus."),
    (
        "No puedo entrar",
        "Hola, desde esta mañana no puedo entrar en la aplicación. ¿Pueden ayudarme, por favor?",
    ),
    ("Problema con el informe", "El informe semanal llega vacío desde el lunes. Estamos bastante molestos."),
)
FOREIGN_SHARE = 0.08
