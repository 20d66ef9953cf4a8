"""Field service: a technician's jobs, the sites they are at, parts on the van and at the depot, readings, photos,
reports and visits.

Owns the sites, the open jobs, the stock, the clock, and what the tools answer and refuse. A job that is left out is the
one in hand. Days and times are given as they were said ("Friday", "half past eight"); the world reads them. Does not
know who calls and when.
"""

import zlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from midsentence.tools import times
from midsentence.tools.function import Did, LogNormal, Uniform, tool
from midsentence.tools.text import either, fold, quote, similar
from midsentence.tools.tool import ToolFailure

NOW = "2026-06-09 09:20:00"
"""The technician's clock where a request brings none: a Tuesday morning."""
IN_HAND = "Larkfield School"
"""The site whose first job is in hand when the day begins."""
VAN = "van 6"
READINGS = ("pressure", "flow", "return", "volts", "amps", "ohms", "rpm", "carbon monoxide")
FIRST_HOUR, LAST_HOUR = 7, 18
MOST_MINUTES = 12 * 60


@dataclass(frozen=True)
class Site:
    """Where jobs are."""

    jobs: tuple[tuple[str, str], ...]
    """What is to be mended, and what is wrong with it."""
    access: str
    """How to get in."""
    parking: str
    """Where to park."""
    hazards: str
    """What to beware of."""
    contact: str
    """Name, role and number of who is there."""
    hours: str
    """When it is open."""


SITES = {
    "Larkfield School": Site(
        (("boiler", "no hot water in the kitchen"), ("gate", "sticks half open")),
        "sign in at reception, badge 4",
        "behind the bins",
        "asbestos in the boiler room ceiling",
        "Mrs Olawale, caretaker, 0161 555 0142",
        "7:00 to 17:30",
    ),
    "Quayside Apartments": Site(
        (("lift", "stops between floors"),),
        "key safe by the post boxes, code 4471",
        "bay 9",
        "none known",
        "Mr Tran, concierge, 0161 555 0177",
        "day and night",
    ),
    "Harrow Dairy": Site(
        (("chiller", "high pressure trips"), ("pump", "noisy bearing")),
        "weighbridge, hairnet and boots",
        "by the tanks",
        "ammonia, wear a meter",
        "Jean Rusk, 0161 555 0119",
        "4:00 to 20:00",
    ),
    "St Brendan's": Site(
        (("boiler", "loses pressure overnight"),),
        "ring the vestry bell",
        "on the lane",
        "uneven steps",
        "Father Doyle, 0161 555 0133",
        "9:00 to 18:00",
    ),
    "Pinnacle Gym": Site(
        (("air handling unit", "filter alarm"),),
        "staff door, code 9020",
        "roof level, two hours",
        "none known",
        "Kofi, 0161 555 0188",
        "6:00 to 22:00",
    ),
    "Millbrook Surgery": Site(
        (("fire alarm", "zone 3 fault"), ("boiler", "annual service")),
        "reception, say it is for the panel",
        "doctors' bays are not for us",
        "oxygen store",
        "Priya Nand, 0161 555 0150",
        "8:00 to 18:30",
    ),
    "Old Corn Exchange": Site(
        (("lift", "door sensor"),),
        "stage door, ask for Bram",
        "loading bay until 11",
        "open stage traps",
        "Bram Vos, 0161 555 0164",
        "10:00 to 23:00",
    ),
    "Foxglove Nursery": Site(
        (("heat pump", "ices up"),),
        "buzz and wait, nobody opens for callers",
        "on the road",
        "children, no tools left",
        "Sian, 0161 555 0125",
        "7:30 to 18:00",
    ),
    "Tanner Street Depot": Site(
        (("roller shutter", "drops the last foot"),),
        "gatehouse",
        "yard",
        "forklifts",
        "Dez, 0161 555 0101",
        "day and night",
    ),
    "Ashworth House": Site(
        (("boiler", "kettling"), ("fire alarm", "false alarms at night")),
        "key with the warden in flat 1",
        "permit bay",
        "none known",
        "Mr Ashby, warden, 0161 555 0139",
        "day and night",
    ),
    "Bellamy's Bakery": Site(
        (("oven extractor", "trips the breaker"),),
        "back door before six, shop after",
        "double yellows, ten minutes",
        "hot surfaces, flour dust",
        "Ines, 0161 555 0156",
        "3:00 to 14:00",
    ),
    "Cresswell Library": Site(
        (("chiller", "no cooling upstairs"),),
        "side door, code 1882",
        "two spaces at the back",
        "none known",
        "Nuala Byrne, 0161 555 0171",
        "9:00 to 19:00",
    ),
    "Greystone Farm": Site(
        (("pump", "won't prime"), ("solar array", "one string dead")),
        "close every gate",
        "anywhere dry",
        "slurry pit, dogs",
        "Hal Greaves, 0161 555 0193",
        "day and night",
    ),
    "Victoria Court": Site(
        (("water heater", "relief valve weeping"),),
        "intercom 0, then B",
        "pay and display",
        "none known",
        "Ms Petrossian, 0161 555 0148",
        "8:00 to 20:00",
    ),
    "Northgate Hotel": Site(
        (("boiler", "locks out on ignition"), ("lift", "annual inspection")),
        "goods entrance",
        "height limit 2 metres",
        "none known",
        "Duty manager, 0161 555 0110",
        "day and night",
    ),
    "Wren Lane Surgery": Site(
        (("air handling unit", "fan belt"),),
        "practice manager has the roof key",
        "patients' car park",
        "fragile roof",
        "Tom Adeyemi, 0161 555 0167",
        "8:00 to 18:00",
    ),
}
PARTS = {
    # on the van, at the depot
    "expansion vessel": (1, 4),
    "pressure relief valve": (2, 9),
    "isolating valve": (6, 40),
    "pump seal": (3, 12),
    "fan belt": (2, 8),
    "circulation pump": (0, 3),
    "ignition electrode": (2, 6),
    "flame sensor": (1, 5),
    "thermostat": (2, 10),
    "door sensor": (0, 2),
    "limit switch": (3, 7),
    "contactor": (2, 11),
    "capacitor": (4, 20),
    "smoke detector": (5, 30),
    "call point": (1, 14),
    "panel battery": (2, 6),
    "panel filter": (8, 60),
    "bag filter": (0, 24),
    "drive belt": (1, 6),
    "bearing": (2, 9),
    "gasket": (9, 50),
    "fuse": (20, 200),
    "cable tie": (100, 900),
    "heating element": (1, 3),
    "anode": (0, 5),
    "mixing valve": (1, 4),
    "diverter valve": (0, 2),
    "circuit board": (0, 1),
    "refrigerant bottle": (1, 6),
    "roller": (4, 16),
    "photocell": (1, 3),
    "gate motor": (0, 1),
    "solar connector": (6, 40),
    "flexible hose": (3, 15),
    "drain pump": (1, 2),
    "filter drier": (2, 7),
}
ALSO_CALLED = {
    "prv": "pressure relief valve",
    "relief valve": "pressure relief valve",
    "electrode": "ignition electrode",
    "pcb": "circuit board",
    "board": "circuit board",
    "smoke head": "smoke detector",
    "isolator": "isolating valve",
    "drier": "filter drier",
    "hose": "flexible hose",
    "element": "heating element",
    "iso valve": "isolating valve",
    "filter": "panel filter",
}
"""What technicians say beside the catalogue's names."""
SUPPLIERS = ("Corrigan", "Hexley", "Thorpe")
CREW = ("Anneke", "Bashir", "Col", "Danuta", "Ewan", "Femi", "Gwen")
VANS = ("van 6", "van 11", "van 12", "van 13", "van 14", "van 15", "van 16", "van 17")
SPELT = dict(zip("six eleven twelve thirteen fourteen fifteen sixteen seventeen".split(), VANS, strict=True))
"""Numbers of vans as a recogniser may write them."""


@dataclass
class Round:
    """All that the tools can read and change."""

    now: datetime
    """When the request is made."""
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Jobs by number."""
    in_hand: str = ""
    """Number of the job that is being worked on."""
    van: dict[str, int] = field(default_factory=dict)
    """How many of each part are in the engineer's own van."""
    orders: list[dict[str, Any]] = field(default_factory=list)
    """Parts that were ordered, in order."""
    visits: list[dict[str, Any]] = field(default_factory=list)
    """Visits that are planned."""
    texts: list[dict[str, str]] = field(default_factory=list)
    """Messages that were sent, in order."""
    defects: list[dict[str, Any]] = field(default_factory=list)
    """Faults of vans that were reported, in order."""


def new_state(now: str = NOW) -> Round:
    """Every site's jobs open, the first one of `IN_HAND` begun, and a van that was filled in the morning."""
    state = Round(datetime.fromisoformat(now), van={part: count for part, (count, _) in PARTS.items()})
    for name, site in SITES.items():
        for plant, fault in site.jobs:
            number = f"J{zlib.crc32(f'{name}|{plant}'.encode()) % 9000 + 1000}"
            state.jobs[number] = {
                "site": name,
                "plant": plant,
                "fault": fault,
                "status": "open",
                "minutes": {},
                "readings": {},
                "photos": [],
                "report": {},
                "parts": {},
            }
    state.in_hand = next(number for number, job in state.jobs.items() if job["site"] == IN_HAND)
    state.jobs[state.in_hand]["status"] = "on site"
    return state


def _site(name: str) -> str:
    asked = fold(name).removeprefix("the ")
    found = [site for site in SITES if fold(site) == asked] or [site for site in SITES if asked and asked in fold(site)]
    if len(found) > 1:
        raise ToolFailure(f"{quote(name)} could be {either(found)}; ask which")
    if not found:
        near = similar(name, SITES)
        raise ToolFailure(
            f"no site {quote(name)} on the books; "
            + (f"did the user mean {either(near)}?" if near else "ask for its name")
        )
    return found[0]


def _job(state: Round, job: str | None, done: bool = False) -> tuple[str, dict[str, Any]]:
    """A job by its number, or the one in hand; one that is finished only where it may be."""
    number = job or state.in_hand
    if number not in state.jobs:
        raise ToolFailure(
            f"no job {quote(number)}; look it up by site with find_job, or leave it out for the job in hand"
        )
    found = state.jobs[number]
    if found["status"] == "finished" and not done:
        raise ToolFailure(f"{number} at {found['site']} is finished; open it again with set_job_status")
    return number, found


def _part(name: str) -> str:
    asked = fold(name)
    for one in (asked, asked.removesuffix("s"), asked.removesuffix("es"), asked.removesuffix("ies") + "y"):
        if (known := ALSO_CALLED.get(one, one)) in PARTS:
            return known
    near = similar(name, PARTS)
    raise ToolFailure(
        f"no part {quote(name)} in the catalogue; "
        + (f"did the user mean {either(near)}?" if near else "ask for its name")
    )


def _counted(parts: dict[str, int]) -> dict[str, int]:
    """Parts by their names in the catalogue: all of them, or a refusal."""
    if not parts:
        raise ToolFailure("parts is empty; ask which, and how many of each")
    for name, count in parts.items():
        if not 1 <= count <= 200:
            raise ToolFailure(f"{count} of {quote(name)} can't be booked; give 1 to 200")
    return {_part(name): count for name, count in sorted(parts.items())}


def _day(state: Round, day: str) -> datetime:
    try:
        return datetime.combine(times.day(day, state.now), datetime.min.time())
    except times.Unclear as failure:
        raise ToolFailure(
            f'day {quote(day)} can\'t be read: {failure}; give it as said, "Friday" or "the twelfth"'
        ) from None


def _clock(at: datetime, time: str) -> datetime:
    """A time of day as it was said; a bare hour is between seven in the morning and half past six in the evening."""
    try:
        clock = times.moment(time, at.replace(hour=6, minute=59))
    except times.Unclear as failure:
        raise ToolFailure(f'time {quote(time)} can\'t be read: {failure}; give it as said, "half past eight"') from None
    return at.replace(hour=clock.hour, minute=clock.minute)


def _said(what: str, text: str) -> str:
    if not text.strip():
        raise ToolFailure(f"{what} is empty; ask what to say")
    return text.strip()


@tool(access="read", latency=LogNormal(0.8, 0.35), takes_state=True)
def find_job(state: Round, site: str, plant: str | None = None) -> str:
    """Finds the open job at a site and returns its number.

    Args:
        plant: What is to be mended, lift, boiler
    """
    where = _site(site)
    here = {number: job for number, job in state.jobs.items() if job["site"] == where}
    found = [
        number
        for number, job in here.items()
        if plant is None or fold(plant) in job["plant"] or job["plant"] in fold(plant)
    ]
    if not found:
        raise ToolFailure(
            f"no job on the {plant} at {where}, only on the {either(job['plant'] for job in here.values())}"
        )
    if len(found) > 1:
        raise ToolFailure(
            f"{where} has {len(found)} jobs; say whether the {either(here[number]['plant'] for number in found)}"
        )
    return found[0]


@tool(access="read", reads=("jobs",), latency=Uniform(0.3, 0.7), takes_state=True)
def job_details(
    state: Round,
    about: Literal["fault", "last visit", "parts used", "serial number", "warranty"],
    job: str | None = None,
) -> str:
    """Says one thing about a job; the job in hand if none is given.

    Args:
        job: Number from find_job
    """
    number, found = _job(state, job, done=True)
    seed = zlib.crc32(number.encode())
    match about:
        case "fault":
            return f"{found['plant']}: {found['fault']}"
        case "last visit":
            return f"{CREW[seed % len(CREW)]} was there {seed % 9 + 2} weeks ago and adjusted the {found['plant']}"
        case "parts used":
            return ", ".join(f"{count} {part}" for part, count in sorted(found["parts"].items())) or "none so far"
        case "serial number":
            return f"{'ABCDEFGH'[seed % 8]}{seed % 90000 + 10000}"
    return f"ends {'March' if seed % 2 else 'October'} {2025 + seed % 4}"


@tool(access="read", latency=Uniform(0.4, 0.9))
def site_info(site: str, about: Literal["access", "parking", "hazards", "contact", "hours"]) -> str:
    """Says how to get in at a site, where to park, what is dangerous, whom to ask for or when it is open."""
    return str(getattr(SITES[_site(site)], about))


@tool(access="read", reads=("stock",), latency=LogNormal(0.6, 0.3), takes_state=True)
def part_stock(state: Round, part: str, where: Literal["van", "depot", "other vans"] = "van") -> str:
    """Says how many of a part are on the van, at the depot or on colleagues' vans."""
    known = _part(part)
    match where:
        case "van":
            return f"{state.van[known]} on {VAN}"
        case "depot":
            return f"{PARTS[known][1]} at the depot"
    holder = CREW[zlib.crc32(known.encode()) % len(CREW)]
    return f"{zlib.crc32(known.encode()) % 4 + 1} on {holder}'s van"


@tool(access="egress", latency=LogNormal(1.7, 0.4))
def supplier_quote(part: str, count: int = 1, supplier: Literal["Corrigan", "Hexley", "Thorpe"] | None = None) -> str:
    """Asks a supplier for the price of a part and how long it takes; the cheapest one if none is named."""
    known = _part(part)
    if not 1 <= count <= 200:
        raise ToolFailure(f"{count} of {quote(part)} can't be priced; give 1 to 200")
    prices = {one: 8 + zlib.crc32(f"{one}{known}".encode()) % 160 for one in SUPPLIERS}
    chosen: str = supplier or min(SUPPLIERS, key=lambda one: prices[one])
    return f"{prices[chosen] * count} pounds from {chosen}, {1 + zlib.crc32(known.encode()) % 4} days"


@tool(access="write", writes=("jobs",), latency=Uniform(0.5, 1.0), takes_state=True)
def set_job_status(
    state: Round,
    status: Literal["travelling", "on site", "paused", "finished", "no access"],
    job: str | None = None,
    reason: str | None = None,
) -> Did:
    """Sets how a job stands; one that is travelled to or begun becomes the job in hand.

    Args:
        job: Number from find_job
        reason: For the office
    """
    number, found = _job(state, job, done=True)
    if found["status"] == status:
        raise ToolFailure(f"{number} at {found['site']} is {status} already")
    if status == "finished" and found["status"] == "open":
        raise ToolFailure(f"{number} at {found['site']} was never begun; set it to on site first")
    found["status"] = status
    if status in ("travelling", "on site"):
        state.in_hand = number
    return Did(status, {"job": number, "status": status, "reason": reason})


@tool(access="write", writes=("jobs",), latency=Uniform(0.4, 0.8), takes_state=True)
def log_time(
    state: Round, minutes: int, kind: Literal["labour", "travel", "waiting"] = "labour", job: str | None = None
) -> Did:
    """Books minutes of work, travel or waiting on a job.

    Args:
        job: Number from find_job
    """
    number, found = _job(state, job)
    if not 1 <= minutes <= MOST_MINUTES:
        raise ToolFailure(f"{minutes} minutes can't be booked at once; give 1 to {MOST_MINUTES}")
    found["minutes"][kind] = found["minutes"].get(kind, 0) + minutes
    return Did(f"{found['minutes'][kind]} minutes of {kind}", {"job": number, "minutes": minutes, "kind": kind})


@tool(access="write", writes=("jobs",), latency=Uniform(0.4, 0.9), takes_state=True)
def log_readings(state: Round, readings: dict[str, float], job: str | None = None) -> Did:
    """Writes down readings of pressure, flow, return, volts, amps, ohms, rpm or carbon monoxide, each with its number.

    Args:
        readings: Number of each
        job: Number from find_job
    """
    number, found = _job(state, job)
    if not readings:
        raise ToolFailure("readings is empty; ask what was read")
    if unknown := sorted(set(readings) - set(READINGS)):
        raise ToolFailure(f"no reading {quote(unknown[0])}; use {either(READINGS)}")
    if below := [name for name, value in readings.items() if value < 0 and name not in ("flow", "return")]:
        raise ToolFailure(f"{below[0]} is {readings[below[0]]}, which no meter shows; ask for it again")
    found["readings"] |= readings
    return Did("written down", {"job": number, "readings": dict(sorted(readings.items()))})


@tool(access="write", reads=("jobs",), latency=LogNormal(1.2, 0.25), takes_state=True)
def take_photos(state: Round, subjects: list[str], job: str | None = None) -> Did:
    """Takes photos with the helmet camera, one of each subject, and files them with a job.

    Args:
        job: Number from find_job
    """
    number, found = _job(state, job)
    if not subjects or not all(subject.strip() for subject in subjects):
        raise ToolFailure("subjects is empty; ask what to photograph")
    if len(subjects) > 8:
        raise ToolFailure(f"{len(subjects)} photos are too many at once; take 8 at most")
    found["photos"] += subjects
    return Did(f"{len(found['photos'])} photos", {"job": number, "subjects": sorted(map(fold, subjects))})


@tool(access="write", reads=("jobs",), latency=Uniform(0.5, 1.1), takes_state=True)
def write_report(state: Round, section: Literal["found", "done", "advice"], text: str, job: str | None = None) -> Did:
    """Adds to a job's report, under what was found, what was done or what is advised.

    Args:
        job: Number from find_job
    """
    number, found = _job(state, job)
    said = _said("text", text)
    found["report"].setdefault(section, []).append(said)
    return Did("added", {"job": number, "section": section, "text": text})


@tool(access="write", writes=("stock", "jobs"), latency=Uniform(0.6, 1.2), takes_state=True)
def use_parts(state: Round, parts: dict[str, int], job: str | None = None) -> Did:
    """Takes parts from the van's stock for a job, each with how many.

    Args:
        parts: How many of each part
        job: Number from find_job
    """
    number, found = _job(state, job)
    counted = _counted(parts)
    for part, count in counted.items():
        if state.van[part] < count:
            raise ToolFailure(
                f"{VAN} has {state.van[part]} {part}, not {count}; use order_parts, or part_stock for the other vans"
            )
    for part, count in counted.items():
        state.van[part] -= count
        found["parts"][part] = found["parts"].get(part, 0) + count
    return Did(f"{sum(counted.values())} parts booked out", {"job": number, "parts": counted})


@tool(access="write", reads=("jobs",), writes=("orders",), latency=LogNormal(1.3, 0.3), takes_state=True)
def order_parts(
    state: Round,
    parts: dict[str, int],
    deliver_to: Literal["van", "depot", "site"] = "depot",
    needed_by: str | None = None,
    job: str | None = None,
) -> Did:
    """Orders parts, each with how many, and returns the order's number.

    Args:
        parts: How many of each part
        needed_by: Day as said, Friday
        job: Number from find_job
    """
    number, _ = _job(state, job)
    counted = _counted(parts)
    by = f"{_day(state, needed_by):%Y-%m-%d}" if needed_by else None
    order = {"job": number, "parts": counted, "deliver_to": deliver_to, "needed_by": by}
    if order in state.orders:
        raise ToolFailure(f"that was ordered already, P{zlib.crc32(repr(order).encode()) % 900 + 100}")
    state.orders.append(order)
    return Did(f"P{zlib.crc32(repr(order).encode()) % 900 + 100}", order)


@tool(access="write", reads=("jobs",), writes=("visits",), latency=LogNormal(1.1, 0.3), takes_state=True)
def book_visit(
    state: Round,
    day: str,
    time: str | None = None,
    minutes: int | None = None,
    crew: list[Literal["Anneke", "Bashir", "Col", "Danuta", "Ewan", "Femi", "Gwen"]] | None = None,
    contact: dict[str, str] | None = None,
    job: str | None = None,
) -> Did:
    """Books another visit for a job and returns when it is; a contact on site has a name and a phone.

    Args:
        day: As said, Friday
        time: As said, half past eight
        minutes: How long it will take
        crew: Colleagues who come along
        contact: Fields name and phone
        job: Number from find_job
    """
    number, found = _job(state, job)
    at = _day(state, day)
    if at.weekday() == 6:
        raise ToolFailure(f"{at:%A %d %B} is a Sunday, when nobody is sent out; ask for another day")
    at = _clock(at, time) if time else at.replace(hour=8)
    if at < state.now:
        raise ToolFailure(f"{at:%A at %H:%M} has passed; ask for a later one")
    if not FIRST_HOUR <= at.hour < LAST_HOUR:
        raise ToolFailure(f"visits begin from {FIRST_HOUR}:00 to {LAST_HOUR}:00, not at {at:%H:%M}")
    if unknown := set(contact or ()) - {"name", "phone"}:
        raise ToolFailure(f"a contact has no {quote(min(unknown))}; give name and phone")
    length = timedelta(minutes=minutes or 60)
    if clash := [one for one in state.visits if one["at"] < at + length and at < one["until"]]:
        raise ToolFailure(f"there is a visit at {clash[0]['site']} then; ask for another time")
    state.visits.append(
        {"job": number, "site": found["site"], "at": at, "until": at + length, "crew": crew or [], "contact": contact}
    )
    meant = {
        "job": number,
        "at": f"{at:%Y-%m-%d %H:%M}",
        "minutes": minutes,
        "crew": sorted(crew or ()),
        "contact": contact,
    }
    return Did(f"{at:%A %d %B at %H:%M}", meant)


@tool(access="write", reads=("jobs",), latency=Uniform(0.6, 1.3), takes_state=True)
def text_customer(state: Round, message: str, job: str | None = None) -> Did:
    """Texts the customer of a job.

    Args:
        job: Number from find_job
    """
    number, found = _job(state, job, done=True)
    state.texts.append({"to": SITES[found["site"]].contact.split(",")[0], "message": _said("message", message)})
    return Did(f"sent to {state.texts[-1]['to']}", {"job": number, "message": message})


@tool(access="write", latency=Uniform(0.5, 0.9), takes_state=True)
def report_van(state: Round, problem: str, off_road: bool = False, van: str | None = None) -> Did:
    """Reports something wrong with a van to the garage; our own van if none is named.

    Args:
        off_road: Whether it can't be driven
        van: As said, van 12
    """
    which = fold(van or VAN)
    which = SPELT.get(which.split()[-1], which) if which else VAN
    if which not in VANS:
        raise ToolFailure(f"no {quote(van or '')} in the fleet; there is {either(VANS)}")
    state.defects.append({"van": which, "problem": _said("problem", problem), "off_road": off_road})
    return Did("reported", state.defects[-1] | {"problem": fold(problem)})
