"""What a converted model is calibrated and checked with: sentences of our own, of many fields, lengths and scripts.

Nothing here comes from a data set that ranking is measured on: an int8 model must not be fitted to its own exam.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice
from typing import Final

_SENTENCES: Final = (
    "The pump was replaced in March because its bearing had been running hot for weeks.",
    "Whoever leaves the laboratory last switches off the gas and signs the sheet beside the door.",
    "Vaccination lowered the number of hospital admissions among people over seventy by about a third.",
    "A mutation in this gene stops the protein from binding iron, and the cells die within two days.",
    "The parties agree that disputes arising from this contract are settled by arbitration in Geneva.",
    "Revenue rose by 4.2 % to 318 million euros, while the operating margin fell from 11.3 % to 9.8 %.",
    "Connection refused: is the server running on host 10.0.3.17 and accepting TCP/IP connections on port 5432?",
    "To rotate the key, create the new one first, deploy it everywhere, and only then revoke the old one.",
    "The bridge was built in 1887 by a company that had never worked with steel before.",
    "She asked whether the train to Lyon would wait for the delayed one from Basel; nobody knew.",
    "Laminar flow over the wing separates earlier when the surface is roughened near the leading edge.",
    "Heat the milk to 80 degrees, let it cool to 45, stir in the yoghurt and keep it warm overnight.",
    "The committee rejected the proposal by seven votes to five after a debate of three hours.",
    "def median(values): return sorted(values)[len(values) // 2]  # the upper one for an even count",
    "SELECT name, count(*) FROM orders WHERE placed_at >= '2024-01-01' GROUP BY name HAVING count(*) > 10;",
    "Users who were signed out during the migration have to reset their passwords before they sign in again.",
    "In winter the lake freezes from its northern shore, where the water is shallow and the wind weak.",
    "The defendant appealed on the ground that the search of his house had not been authorised by a judge.",
    "Photosynthesis in shade-grown leaves saturates at a far lower light intensity than in sun-grown ones.",
    "Error E-1042 means that the paper tray is open; error E-1043, that the sensor itself has failed.",
    "Der Antrag muss bis zum 31. Oktober schriftlich bei der zuständigen Behörde eingereicht werden.",
    "Les travaux commenceront au printemps et dureront environ six mois, selon la municipalité.",
    "El paciente fue dado de alta después de tres días sin fiebre y con la presión arterial normal.",
    "Il ponte resterà chiuso al traffico fino alla fine dei lavori di manutenzione.",
    "会议改到星期四下午三点。",
    "製品の保証期間は購入日から二年間です。",
    "Гарантия не распространяется на повреждения, вызванные неправильным использованием.",
    "يجب تقديم الطلب قبل نهاية الشهر الجاري.",
    "Interest rates were left unchanged, although two members of the board had voted for a cut.",
    "Her first novel sold four hundred copies; her fifth was translated into thirty languages.",
    "The orchestra tunes to the oboe because its pitch hardly changes with the temperature of the hall.",
    "Between 1950 and 2000 the glacier lost more than half of its volume and retreated by two kilometres.",
    "A goalkeeper may not touch the ball with the hands after a deliberate pass from a team-mate's foot.",
    "Mice that were fed the diet for twelve weeks gained 30 % more weight than the controls (p < 0.01).",
    "Shock waves form where the supersonic stream is turned by the blunt body, and the pressure jumps.",
    "The invoice lists 14 items, of which two were returned and one was never delivered.",
    "When the reservoir is full the spillway carries off up to 900 cubic metres of water a second.",
    "Apprentices earn a third of the full wage in their first year and two thirds in their last.",
    "The vaccine has to be kept between 2 and 8 degrees; once thawed it must not be frozen again.",
    "Copper was smelted in the valley four thousand years ago, as slag heaps along the river show.",
    "The algorithm sorts the edges by weight and adds each one that does not close a cycle.",
    "Tenants may sublet a room if the landlord has been told and has not objected within a month.",
    "The spacecraft lost contact for eleven minutes while it passed behind the planet.",
    "Bread made from this flour rises less, since its gluten tears before the gas can stretch it.",
    "Nobody expected the strike to last; on its fortieth day the ministry offered to talk.",
    "An inhibitor of the enzyme halved the growth of the tumour in animals but not in patients.",
    "The museum owns 60,000 drawings, of which no more than 200 are on show at any time.",
    "Logs are kept for thirty days, metrics for a year and backups of the database for ninety days.",
)

_QUERIES: Final = (
    "how do I rotate a key",
    "side effects of iron supplements in pregnancy",
    "who built the steel bridge?",
    "error E-1042",
    "notice period for tenants",
    "Does a rough surface delay separation?",
    "best way to keep yoghurt warm overnight",
    "number of votes against the proposal",
    "pressure behind a detached shock wave at high Mach number",
    "Frist für den Antrag",
    "保証期間",
    "retention of backups and logs",
    "operating margin last year",
    "is the enzyme inhibitor effective against tumours in humans",
    "spacecraft contact lost",
    "minimum spanning tree",
)

_PROBES: Final = (
    "Where are the spare keys kept?",
    "warranty claim after water damage",
    "Aspirin reduces the risk of a second stroke in patients with narrowed arteries.",
    "The cable car runs every ten minutes from seven in the morning until the last skier is down.",
    "What happens to the temperature of the boundary layer when the plate is cooled from below?",
    "Antibodies against the virus were found in 61 of 80 samples, twice as many as a year before.",
    "A deposit of two months' rent is due on signing; it bears interest and is returned on moving out.",
    "kubectl rollout undo deployment/api --to-revision=3",
    "The choir rehearses on Tuesdays in the old fire station, which has the better acoustics.",
    "Lowering cholesterol early in life prevents more heart attacks than lowering it late.",
    "The harbour silts up by forty centimetres a year and is dredged every spring.",
    "Das Schwimmbad bleibt wegen einer defekten Pumpe bis Freitag geschlossen.",
    "La bibliothèque prête aussi des outils, des jeux et des instruments de musique.",
    "명세서는 매월 말일에 발송됩니다.",
    "Turbulence increases the heat transfer at the stagnation point of a blunt cone.",
    "refund policy for digital goods",
    "In 1923 a fire destroyed the archive; what is known of the town before is known from letters.",
    "The parser reads one token ahead and never goes back, so the grammar must not be ambiguous.",
    "Elephants hear sounds too low for humans and feel them through the ground with their feet.",
    "Payment is due within 14 days; after that we charge 1.5 % a month.",
)

_CALIBRATION_LENGTHS: Final = (1, 3, 6, 9)  # sentences in a text: the longest has about 200 tokens
_PASSAGES_IN_BATCH: Final = 2  # four calibrate no better and take twice as long
_QUERIES_IN_BATCH: Final = 8


def calibration_batches(count: int) -> list[list[str]]:
    """`count` batches of like-long texts: queries and passages of up to nine sentences; the same ones every time."""
    sentences = cycle(_SENTENCES)
    batches: list[list[str]] = []
    for number in range(count):
        if number % (len(_CALIBRATION_LENGTHS) + 1) == 0:
            first = number % len(_QUERIES)
            batches.append([*_QUERIES[first:], *_QUERIES[:first]][:_QUERIES_IN_BATCH])
            continue
        length = _CALIBRATION_LENGTHS[number % len(_CALIBRATION_LENGTHS)]
        batches.append([" ".join(islice(sentences, length)) for _ in range(_PASSAGES_IN_BATCH)])
    return batches


def probe_texts() -> Sequence[str]:
    """The texts that a conversion is compared on; none of them was calibrated with. Short ones, then passages."""
    passages = [" ".join(_PROBES[first : first + 7]) for first in range(0, len(_PROBES), 4)]
    return [*_PROBES, *passages]
