"""Clinic: a doctors' practice with its free appointments, prescriptions, results, referrals, reminders and messages.

Owns the practice's diary, made from its doctors' hours, the patients' files, and what the tools answer and refuse. Days
and times are given as they were said ("Friday", "half past nine"); the world reads them. Does not know who calls and
when.
"""

import re
import zlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from data_gen.grounding.spans import Habits
from midsentence.tools import times
from midsentence.tools.function import Did, LogNormal, Uniform, tool
from midsentence.tools.text import either, fold, quote, similar
from midsentence.tools.tool import ToolFailure

NOW = "2026-03-02 09:15:00"
"""The patient's clock where a request brings none: a Monday morning."""
AHEAD_DAYS = 60
"""How far ahead the diary is open."""
SELF = "self"
"""Whose file it is if nobody says whose."""
Specialty = Literal[
    "general",
    "skin",
    "heart",
    "eyes",
    "feet",
    "women's health",
    "children",
    "physiotherapy",
    "mental health",
    "diabetes",
    "nurse",
]
Kind = Literal["in_person", "video", "phone"]
Part = Literal["morning", "afternoon", "evening"]

DOCTORS = {
    # name: specialty, languages besides English, weekdays at work (Monday is 0), by phone and video
    "Okoye": ("general", ("Igbo", "French"), (0, 1, 2, 3), True),
    "Brandt": ("general", ("German",), (0, 2, 4), True),
    "Castellanos": ("general", ("Spanish", "Portuguese"), (1, 3, 4), True),
    "Whitcombe": ("skin", (), (1, 4), True),
    "Nadkarni": ("heart", ("Hindi", "Marathi"), (0, 3), False),
    "Lindholm": ("eyes", ("Swedish",), (2, 4), False),
    "Ferreira": ("feet", ("Portuguese",), (0, 1), False),
    "Achebe": ("women's health", ("French",), (1, 2, 3), True),
    "Szabo": ("children", ("Hungarian", "German"), (0, 1, 2, 3, 4), True),
    "Tran": ("physiotherapy", ("Vietnamese",), (0, 2, 3, 4), True),
    "Haldane": ("mental health", (), (1, 2, 4), True),
    "Rahimi": ("diabetes", ("Farsi", "Turkish"), (0, 3), True),
    "Pruitt": ("nurse", ("Polish",), (0, 1, 2, 3, 4), False),
}
FAMILY = (
    "mother",
    "father",
    "son",
    "daughter",
    "husband",
    "wife",
    "baby",
    "grandmother",
    "grandfather",
    "Elsie",
    "Jonah",
    "Rosalind",
    "Tobias",
    "Mabel",
    "Anouk",
    "Desmond",
    "Imogen",
    "Ravi",
    "Saoirse",
    "Wilf",
    "Zainab",
)
"""Who else is on the caller's file, by what the caller calls them; each sees some doctor in the coming weeks."""
RELATIONS = {
    "mum": "mother",
    "mom": "mother",
    "dad": "father",
    "gran": "grandmother",
    "nan": "grandmother",
    "grandad": "grandfather",
}
MEDICINES = (
    "amoxicillin",
    "ramipril",
    "metformin",
    "salbutamol",
    "levothyroxine",
    "sertraline",
    "omeprazole",
    "atorvastatin",
    "insulin",
    "cetirizine",
    "naproxen",
    "warfarin",
    "prednisolone",
    "ibuprofen",
    "aspirin",
    "codeine",
    "amlodipine",
    "melatonin",
    "hydrocortisone",
)
SPENT = ("amoxicillin", "prednisolone", "codeine")
"""Medicines that are not prescribed again without seeing a doctor."""
CLASHES = (
    ("warfarin", "aspirin"),
    ("warfarin", "ibuprofen"),
    ("warfarin", "naproxen"),
    ("ramipril", "ibuprofen"),
    ("ibuprofen", "naproxen"),
    ("sertraline", "ibuprofen"),
    ("prednisolone", "ibuprofen"),
    ("aspirin", "ibuprofen"),
)
PHARMACIES = ("Abbey Pharmacy", "Station Chemist", "Well Lane Pharmacy", "Harbour Pharmacy", "Corner Chemist")
FINDINGS = (
    "normal, nothing to do",
    "slightly raised, to be repeated in three months",
    "ready, the doctor wants to talk about it",
)
HOSPITALS = ("Royal Infirmary", "St Anne's", "Queen's", "Northgate")
_SLOT = re.compile(r"Dr (\w+) (\d{4}-\d\d-\d\d \d\d:\d\d) (in_person|video|phone)")
HABITS = Habits(substance={"move_appointment": ("day", "time")})


@dataclass
class Practice:
    """All that the tools can read and change."""

    now: datetime
    """When the request is made."""
    appointments: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Appointments by code."""
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Repeats that were ordered, by prescription."""
    referrals: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Referrals by code."""
    reminders: list[dict[str, Any]] = field(default_factory=list)
    """Reminders that were set, in order."""
    messages: list[dict[str, Any]] = field(default_factory=list)
    """Messages to the practice, in order."""
    details: dict[str, str] = field(
        default_factory=lambda: {"phone": "07700 900123", "address": "4 Mill Row", "email": "none"}
    )
    """The patient's own, by kind."""


def new_state(now: str = NOW) -> Practice:
    """Everybody on file has two appointments and five referrals, and the caller an appointment with each doctor, from
    this moment on."""
    state = Practice(datetime.fromisoformat(now))
    for n, doctor in enumerate(DOCTORS):
        at = _at_work(doctor, state.now.replace(hour=9 + n % 8, minute=40) + timedelta(days=1 + n))
        state.appointments[_code("A", SELF, doctor)] = {
            "patient": SELF,
            "doctor": doctor,
            "at": at,
            "kind": "in_person",
        }
    for n, person in enumerate(FAMILY):
        for ahead, doctor in ((2 + n % 5, list(DOCTORS)[n % 3]), (9 + n % 6, list(DOCTORS)[3 + n % 10])):
            at = _at_work(doctor, state.now.replace(hour=9 + n % 8, minute=20) + timedelta(days=ahead))
            state.appointments[_code("A", person, doctor)] = {
                "patient": person,
                "doctor": doctor,
                "at": at,
                "kind": "in_person",
            }
    for person in (SELF, *FAMILY):
        for n, specialty in enumerate(("skin", "heart", "eyes", "physiotherapy", "feet")):
            state.referrals[_code("F", person, specialty)] = {
                "specialty": specialty,
                "hospital": HOSPITALS[n % 4],
                "urgent": n == 1,
            }
    return state


def _code(letter: str, *parts: Any) -> str:
    return f"{letter}{zlib.crc32('|'.join(map(str, parts)).encode()) % 9000 + 1000}"


def _at_work(doctor: str, at: datetime) -> datetime:
    """The first day from ``at`` on that a doctor works."""
    return next(day for n in range(8) if (day := at + timedelta(days=n)).weekday() in DOCTORS[doctor][2])


def _doctor(name: str) -> str:
    asked = fold(name).removeprefix("dr").removeprefix("doctor").removeprefix("nurse").strip(". ")
    for doctor in DOCTORS:
        if fold(doctor) == asked:
            return doctor
    near = similar(asked, DOCTORS)
    raise ToolFailure(
        f"no doctor {quote(name)} here; {f'did the user mean {either(near)}?' if near else 'use find_doctor'}"
    )


def _person(name: str | None) -> str:
    asked = fold(name or SELF).removeprefix("my ")
    asked = RELATIONS.get(asked, asked)
    for person in (SELF, *FAMILY):
        if fold(person) == asked:
            return person
    near = similar(asked, FAMILY)
    raise ToolFailure(
        f"nobody called {quote(name or '')} is on this file; {f'did the user mean {either(near)}?' if near else 'ask who'}"
    )


def _medicine(name: str) -> str:
    if fold(name) in MEDICINES:
        return fold(name)
    near = similar(name, MEDICINES)
    raise ToolFailure(
        f"no medicine {quote(name)}; {f'did the user mean {either(near)}?' if near else 'ask for the name on the packet'}"
    )


def _day(state: Practice, day: str | None) -> datetime:
    try:
        at = datetime.combine(times.day(day or "today", state.now), datetime.min.time())
    except times.Unclear as failure:
        raise ToolFailure(
            f'day {quote(day or "")} can\'t be read: {failure}; give it as said, "Friday" or "the twelfth"'
        ) from None
    if not state.now.date() <= at.date() <= (state.now + timedelta(days=AHEAD_DAYS)).date():
        raise ToolFailure(f"{at:%d %B} is not in the diary, which is open for {AHEAD_DAYS} days; ask for another day")
    return at


def _clock(at: datetime, time: str) -> datetime:
    """A time of day as it was said; a bare hour is between seven in the morning and seven in the evening."""
    try:
        clock = times.moment(time, at.replace(hour=6, minute=59))
    except times.Unclear as failure:
        raise ToolFailure(f'time {quote(time)} can\'t be read: {failure}; give it as said, "half past nine"') from None
    return at.replace(hour=clock.hour, minute=clock.minute)


def _appointment(state: Practice, appointment: str) -> dict[str, Any]:
    if appointment not in state.appointments:
        raise ToolFailure(f"no appointment {quote(appointment)}; look it up with look_up_appointment")
    return state.appointments[appointment]


def _free(state: Practice, doctor: str, at: datetime, but: str = "") -> bool:
    """Whether a doctor is at work and free then."""
    taken = any(one["doctor"] == doctor and one["at"] == at for code, one in state.appointments.items() if code != but)
    return at > state.now and at.weekday() in DOCTORS[doctor][2] and 8 <= at.hour < 19 and not taken


@tool(access="read", latency=LogNormal(0.6, 0.3))
def find_doctor(specialty: Specialty = "general", language: str | None = None) -> str:
    """Finds a doctor at the practice, by what for and by language.

    Args:
        language: As said, Spanish
    """
    fits = [name for name, (field_, spoken, _, _) in DOCTORS.items() if field_ == specialty]
    speak = [name for name in fits if language is None or fold(language) in ("english", *map(fold, DOCTORS[name][1]))]
    if not speak:
        known = sorted({tongue for name in fits for tongue in DOCTORS[name][1]})
        raise ToolFailure(
            f"nobody for {specialty} speaks {language}; besides English there is {', '.join(known) or 'nothing'}"
        )
    return f"Dr {speak[0]}"


@tool(access="read", reads=("diary",), latency=LogNormal(1.2, 0.35), takes_state=True)
def free_appointment(
    state: Practice,
    doctor: str | None = None,
    day: str | None = None,
    part: Part | None = None,
    kind: Kind = "in_person",
) -> str:
    """Finds the first free appointment and returns it; with any general doctor and from today on if nothing is said.

    Args:
        doctor: Name, or from find_doctor
        day: As said, Friday
    """
    names = [_doctor(doctor)] if doctor else [name for name, about in DOCTORS.items() if about[0] == "general"]
    if kind != "in_person" and not any(DOCTORS[name][3] for name in names):
        raise ToolFailure(f"Dr {names[0]} sees patients in person only; ask for kind in_person")
    first = _day(state, day)
    hours = {"morning": range(8, 12), "afternoon": range(12, 17), "evening": range(17, 19), None: range(8, 19)}[part]
    for ahead in range(1 if day else 15):
        for hour in hours:
            for name in names:
                at = first + timedelta(
                    days=ahead, hours=hour, minutes=20 * (zlib.crc32(f"{name}{ahead}{hour}".encode()) % 3)
                )
                if _free(state, name, at) and (kind == "in_person" or DOCTORS[name][3]):
                    return f"Dr {name} {at:%Y-%m-%d %H:%M} {kind}"
    works = ", ".join(f"{datetime(2024, 1, 1 + n):%A}" for n in DOCTORS[names[0]][2])
    raise ToolFailure(f"nothing free on {first:%A %d %B}; Dr {names[0]} is in on {works}; ask for another day")


@tool(access="write", writes=("diary",), latency=LogNormal(1.5, 0.3), takes_state=True)
def book_appointment(state: Practice, slot: str, reason: str, patient: str | None = None) -> Did:
    """Books a free appointment and returns its number.

    Args:
        slot: From free_appointment
        reason: As said, sore throat
        patient: For whom; the caller if left out
    """
    found = _SLOT.fullmatch(slot)
    if not found:
        raise ToolFailure(f"{quote(slot)} is no appointment; get one from free_appointment")
    doctor, at, who = _doctor(found[1]), datetime.fromisoformat(found[2]), _person(patient)
    if not reason.strip():
        raise ToolFailure("reason is empty; ask what it is about")
    if not _free(state, doctor, at):
        raise ToolFailure(f"Dr {doctor} is not free on {at:%A at %H:%M} any more; use free_appointment")
    code = _code("A", who, doctor, at)
    state.appointments[code] = {"patient": who, "doctor": doctor, "at": at, "kind": found[3]}
    return Did(code, {"slot": slot, "reason": fold(reason), "patient": who})


@tool(access="read", reads=("diary",), latency=Uniform(0.4, 0.9), takes_state=True)
def look_up_appointment(state: Practice, doctor: str | None = None, patient: str | None = None) -> str:
    """Finds the next appointment that is booked and returns its number.

    Args:
        patient: Whose; the caller's if left out
    """
    who, name = _person(patient), _doctor(doctor) if doctor else None
    mine = [
        (one["at"], code)
        for code, one in state.appointments.items()
        if one["patient"] == who and name in (None, one["doctor"])
    ]
    if not mine:
        others = sorted({f"Dr {one['doctor']}" for one in state.appointments.values() if one["patient"] == who})
        wanted = f" with Dr {name}" if name else ""
        raise ToolFailure(f"{who} has no appointment{wanted}; there is one with {' and '.join(others) or 'nobody'}")
    return min(mine)[1]


@tool(access="write", writes=("diary",), latency=LogNormal(1.3, 0.3), takes_state=True)
def move_appointment(state: Practice, appointment: str, day: str | None = None, time: str | None = None) -> Did:
    """Moves an appointment; only what is given changes.

    Args:
        appointment: Number from look_up_appointment
        day: As said, Friday
        time: As said, half past nine
    """
    old = _appointment(state, appointment)
    if not (day or time):
        raise ToolFailure(f"nothing to change in {appointment}; give day or time")
    at = _day(state, day).replace(hour=old["at"].hour, minute=old["at"].minute) if day else old["at"]
    at = _clock(at, time) if time else at
    if not _free(state, old["doctor"], at, appointment):
        works = ", ".join(f"{datetime(2024, 1, 1 + n):%A}" for n in DOCTORS[old["doctor"]][2])
        raise ToolFailure(f"Dr {old['doctor']} is not free on {at:%A at %H:%M}; the doctor is in on {works}, 8 to 19")
    state.appointments[appointment] = old | {"at": at}
    return Did("moved", {"appointment": appointment, "at": f"{at:%Y-%m-%d %H:%M}"})


@tool(access="write", writes=("diary",), latency=Uniform(0.7, 1.3), takes_state=True)
def cancel_appointment(state: Practice, appointment: str) -> str:
    """Cancels an appointment.

    Args:
        appointment: Number from look_up_appointment
    """
    old = _appointment(state, appointment)
    del state.appointments[appointment]
    return f"Dr {old['doctor']}'s appointment on {old['at']:%A} is cancelled"


@tool(access="read", reads=("prescriptions",), latency=Uniform(0.5, 1.1))
def find_prescription(medicine: str, patient: str | None = None) -> str:
    """Finds the prescription of a medicine and returns its number.

    Args:
        patient: Whose; the caller's if left out
    """
    return _code("P", _person(patient), _medicine(medicine))


@tool(access="write", writes=("prescriptions",), latency=LogNormal(1.4, 0.35), takes_state=True)
def repeat_prescription(state: Practice, prescription: str, pharmacy: str | None = None, months: int = 1) -> Did:
    """Orders a medicine again, at the usual pharmacy if none is said; ordered once more with other details, the order
    is changed.

    Args:
        prescription: Number from find_prescription
        months: Supply for so many, 1 to 3
    """
    whose = {_code("P", person, medicine): (person, medicine) for person in (SELF, *FAMILY) for medicine in MEDICINES}
    if prescription not in whose:
        raise ToolFailure(f"no prescription {quote(prescription)}; get its number from find_prescription")
    if whose[prescription][1] in SPENT:
        raise ToolFailure(f"{whose[prescription][1]} is not repeated without seeing a doctor; use free_appointment")
    if not 1 <= months <= 3:
        raise ToolFailure(f"{months} months can't be prescribed; give 1 to 3")
    name = next(
        (known for known in PHARMACIES if fold(known) == fold(pharmacy or PHARMACIES[0]).removeprefix("the ")), None
    )
    if name is None:
        raise ToolFailure(f"no pharmacy {quote(pharmacy or '')}; use {either(PHARMACIES)}")
    order = {"pharmacy": name, "months": months}
    if state.orders.get(prescription) == order:
        raise ToolFailure(
            f"{prescription} is ordered already, for {name}; give another pharmacy or number of months to change the order"
        )
    state.orders[prescription] = order
    return Did(f"ready at {name} in two days", {"prescription": prescription, "pharmacy": name, "months": months})


@tool(access="read", latency=LogNormal(1.0, 0.4))
def get_result(
    test: Literal["blood", "urine", "x-ray", "smear", "scan", "allergy", "biopsy", "ecg"], patient: str | None = None
) -> str:
    """Returns the result of a test.

    Args:
        patient: Whose; the caller's if left out
    """
    who = _person(patient)
    return f"{test} of {who}: {FINDINGS[zlib.crc32(f'{test}{who}'.encode()) % len(FINDINGS)]}"


@tool(access="egress", latency=LogNormal(1.8, 0.4))
def check_interaction(medicines: list[str]) -> str:
    """Asks the national drug register whether medicines can be taken together; of one alone, with which it can't.

    Args:
        medicines: Names
    """
    names = {_medicine(name) for name in medicines}
    if not names:
        raise ToolFailure("medicines is empty; name one or more")
    bad = [" and ".join(pair) for pair in CLASHES if (names & set(pair) if len(names) == 1 else set(pair) <= names)]
    return f"not together: {'; '.join(bad)}" if bad else "no known interaction"


@tool(access="read", reads=("referrals",), latency=Uniform(0.6, 1.2), takes_state=True)
def referral_status(state: Practice, specialty: Specialty, patient: str | None = None) -> str:
    """Says where a referral to a specialist stands.

    Args:
        patient: Whose; the caller's if left out
    """
    who = _person(patient)
    found = state.referrals.get(_code("F", who, specialty))
    if found is None:
        raise ToolFailure(f"{who} has no referral for {specialty}; ask for one with request_referral")
    return f"with {found['hospital']}, {'two' if found['urgent'] else 'eleven'} weeks to wait"


@tool(access="write", writes=("referrals",), latency=LogNormal(1.6, 0.3), takes_state=True)
def request_referral(
    state: Practice,
    specialty: Specialty,
    reason: str,
    hospital: str | None = None,
    urgent: bool = False,
    patient: str | None = None,
) -> Did:
    """Asks the practice to send a patient to a specialist and returns the referral's number.

    Args:
        reason: As said, a mole that changed
        patient: For whom; the caller if left out
    """
    who = _person(patient)
    where = next(
        (known for known in HOSPITALS if fold(known) == fold(hospital or HOSPITALS[0]).removeprefix("the ")), None
    )
    if where is None:
        raise ToolFailure(f"no hospital {quote(hospital or '')} takes referrals; use {either(HOSPITALS)}")
    if specialty in ("general", "nurse"):
        raise ToolFailure(f"nobody is referred to {specialty}; use free_appointment")
    if not reason.strip():
        raise ToolFailure("reason is empty; ask what it is about")
    code = _code("F", who, specialty)
    state.referrals[code] = {"specialty": specialty, "hospital": where, "urgent": urgent}
    return Did(
        code, {"specialty": specialty, "reason": fold(reason), "hospital": where, "urgent": urgent, "patient": who}
    )


@tool(access="write", latency=Uniform(0.3, 0.7), takes_state=True)
def set_reminder(
    state: Practice, about: str, time: str, repeat: Literal["daily", "weekly", "monthly"] | None = None
) -> Did:
    """Reminds the patient of something on the phone.

    Args:
        about: As said, take the tablets
        time: As said, eight in the evening
    """
    try:
        at = times.moment(time, state.now)
    except times.Unclear as failure:
        raise ToolFailure(
            f'time {quote(time)} can\'t be read: {failure}; give day and time as said, "Friday at nine"'
        ) from None
    state.reminders.append({"about": fold(about), "time": f"{at:%Y-%m-%d %H:%M}", "repeat": repeat})
    return Did("set", state.reminders[-1])


@tool(access="write", writes=("messages",), latency=LogNormal(0.9, 0.3), takes_state=True)
def message_practice(state: Practice, text: str, doctor: str | None = None) -> Did:
    """Sends a message to the practice.

    Args:
        text: As said
        doctor: To whom; the front desk if left out
    """
    if not text.strip():
        raise ToolFailure("text is empty; ask what to write")
    state.messages.append({"text": fold(text), "doctor": _doctor(doctor) if doctor else None})
    return Did("sent", state.messages[-1])


@tool(access="write", writes=("details",), latency=Uniform(0.6, 1.0), takes_state=True)
def update_details(state: Practice, details: dict[str, str]) -> Did:
    """Changes what the practice has on file: fields phone, address, email, emergency_contact, allergy.

    Args:
        details: Only the fields that change
    """
    known = ("phone", "address", "email", "emergency_contact", "allergy")
    if unknown := set(details) - set(known):
        raise ToolFailure(f"no field {quote(min(unknown))} on file; use {either(known)}")
    if not details:
        raise ToolFailure(f"nothing to change; give one of {either(known)}")
    state.details |= details
    return Did("changed", {"details": {key: fold(value) for key, value in details.items()}})
