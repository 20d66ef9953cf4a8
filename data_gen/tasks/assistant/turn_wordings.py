"""How turns of a conversation with an assistant are worded, beside requests of their own: that is `templates`.

Owns the texts and what they say: a line is words, slots and what words stand for. ``^`` stands after the word that
makes the tool clear, ``{slot}`` is a new value, and ``word=slot`` says the value that the slot had in what was asked
before. Each list is shared out among the splits by a hash. Does not know values and calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from data_gen.task import Split
from data_gen.tasks.assistant.entities import divided


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A turn that goes on from a clause."""

    after: frozenset[str]
    """Intents of that clause."""
    intent: str
    """What it asks for."""
    copies: Mapping[str, str]
    """Slots that are said by reference, and which slot of the clause before each repeats."""
    lines: tuple[str, ...]
    """Wordings."""


@dataclass(frozen=True, slots=True)
class Lack:
    """A request that leaves out what its call needs."""

    intent: str
    """What is asked for."""
    slot: str
    """What is not said."""
    asks: str
    """``tool.parameter`` of it."""
    lines: tuple[str, ...]
    """Wordings of the request."""
    replies: tuple[str, ...]
    """Turns that say it."""
    other: str = ""
    """Another slot, which a reply may change at the same time."""
    corrections: tuple[str, ...] = ()
    """Turns that do."""


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.split("/"))


FOLLOW_UPS: tuple[FollowUp, ...] = (
    FollowUp(
        frozenset({"sms", "email"}),
        "sms",
        {"message": "message"},
        _lines(
            "and text^ {to} that=message too / also text^ that=message to {to} / can you text^ the same=message to {to} /"
            "text^ it=message to {to} as well / now text^ {to} the same thing=message / and one text^ with that=message to {to} please /"
            "let {to} have that=message by text^ too / {to} should get it=message as a text^ as well"
        ),
    ),
    FollowUp(
        frozenset({"sms", "email"}),
        "email",
        {"message": "message"},
        _lines(
            "and email^ {to} that=message too / also email^ that=message to {to} / email^ the same=message to {to} as well /"
            "could you mail^ it=message to {to} too / send that=message to {to} by email^ /"
            "now an email^ with the same thing=message to {to} /"
            "{to} should have that=message by email^ too / and put it=message in an email^ to {to}"
        ),
    ),
    FollowUp(
        frozenset({"sms", "email"}),
        "sms",
        {"to": "to"},
        _lines(
            "and text^ them=to that {message} / also text^ them=to saying {message} / tell^ them=to that {message} as well /"
            "and let^ them=to know that {message} / send another text^ to them=to saying {message} /"
            "oh and text^ the same person=to that {message} /"
            "one more text^ for them=to please it should say {message} / add another text^ to them=to that {message}"
        ),
    ),
    FollowUp(
        frozenset({"event", "zoom", "reminder"}),
        "reminder",
        {"when": "when"},
        _lines(
            "and remind^ me to {chore} at the same time=when / also set a reminder^ for then=when to {chore} /"
            "remind^ me to {chore} then=when too /"
            "and a reminder^ at that time=when to {chore} / can you remind^ me to {chore} at that time=when as well /"
            "put a reminder^ there=when to {chore} / for the same time=when add a reminder^ to {chore} /"
            "I also need a reminder^ then=when to {chore}"
        ),
    ),
    FollowUp(
        frozenset({"reminder", "event"}),
        "event",
        {"when": "when"},
        _lines(
            "and put {title} in my calendar^ for the same time=when / also add {title} to the calendar^ then=when /"
            "block my calendar^ at that time=when for {title} / the calendar^ needs {title} at that time=when too /"
            "can you put {title} in the calendar^ then=when as well / I want {title} in my calendar^ for then=when"
        ),
    ),
    FollowUp(
        frozenset({"note", "open_note", "append"}),
        "append",
        {"name": "name"},
        _lines(
            "and add^ {content} to it=name / also add^ {content} there=name / append^ {content} to that=name as well /"
            "and put^ {content} in that note=name too / write^ {content} into it=name as well / could you add^ {content} to that one=name"
        ),
    ),
    FollowUp(
        frozenset({"phone", "address"}),
        "sms",
        {"to": "person"},
        _lines(
            "okay text^ them=to that {message} / then text^ them=to saying {message} / tell^ them=to by text that {message} /"
            "good send them=to a text^ saying {message} / and text^ that person=to that {message} / so text^ them=to and say {message}"
        ),
    ),
    FollowUp(
        frozenset({"map"}),
        "route",
        {"end": "place"},
        _lines(
            "and how^ do I get there=end / show me the way^ there=end / give me directions^ there=end too / what is the route^ there=end /"
            "and the directions^ to that place=end / how would I get^ there=end"
        ),
    ),
)

LACKS: tuple[Lack, ...] = (
    Lack(
        "sms",
        "message",
        "send_sms.message",
        _lines(
            "text^ {to} for me / can you text^ {to} / send {to} a text^ / I want to text^ {to} / a text^ to {to} please /"
            "shoot {to} a text^ /"
            "please send a text^ to {to} / would you text^ {to}"
        ),
        _lines(
            "say {message} / {message} / that {message} / tell them {message} / it should say {message} / just {message} /"
            "write that {message} / say that {message}"
        ),
        "to",
        _lines(
            "actually make it {to} and say {message} / no send it to {to} and say that {message} / wait to {to} instead saying {message} /"
            "oh not them {to} it should say {message} / better {to} tell them {message} / sorry I meant {to} write {message}"
        ),
    ),
    Lack(
        "sms",
        "to",
        "send_sms.recipients",
        _lines(
            "send a text^ saying {message} / text^ that {message} / I need a text^ that says {message} / write a text^ saying {message} /"
            "please text^ this {message} / can you send a text^ that {message}"
        ),
        _lines(
            "to {to} / {to} / for {to} / it goes to {to} / send it to {to} / {to} please / that's for {to} / it's for {to}"
        ),
        "message",
        _lines(
            "to {to} but say {message} / {to} and make it {message} instead / for {to} and it should rather say {message} /"
            "{to} oh and write {message} instead / send it to {to} but with {message} / it's for {to} and better say {message}"
        ),
    ),
    Lack(
        "email",
        "message",
        "compose_new_email.context",
        _lines(
            "email^ {to} / write an email^ to {to} / can you email^ {to} for me / I want to send {to} an email^ /"
            "an email^ to {to} please / start an email^ to {to}"
        ),
        _lines(
            "it should say {message} / say {message} / tell them that {message} / {message} / just write {message} / that {message}"
        ),
    ),
    Lack(
        "event",
        "when",
        "create_calendar_event.start_date",
        _lines(
            "put {title} in my calendar^ / add {title} to the calendar^ / I need {title} in my calendar^ /"
            "create an event^ called {title} / make a calendar^ entry for {title} / schedule^ {title} please"
        ),
        _lines("{when} / it's {when} / make it {when} / that's {when} / it will be {when} / let's say {when}"),
        "title",
        _lines(
            "{when} but call it {title} / it's {when} and the name should be {title} / {when} and rather call it {title} /"
            "make it {when} and name it {title} / that's {when} oh and it is called {title} / {when} and title it {title}"
        ),
    ),
    Lack(
        "event",
        "title",
        "create_calendar_event.title",
        _lines(
            "put something in my calendar^ {when} / I need an entry in the calendar^ {when} / block my calendar^ {when} /"
            "add an event^ {when} / make an appointment^ {when} / create an event^ {when}"
        ),
        _lines("call it {title} / {title} / it's {title} / name it {title} / that is {title} / it is called {title}"),
    ),
    Lack(
        "reminder",
        "chore",
        "create_reminder.name",
        _lines(
            "remind^ me {when} / set a reminder^ {when} / I need a reminder^ {when} / can you remind^ me {when} /"
            "make me a reminder^ {when} /"
            "a reminder^ {when} please"
        ),
        _lines(
            "to {chore} / {chore} / I have to {chore} / that I should {chore} / it's to {chore} / about having to {chore}"
        ),
    ),
    Lack(
        "note",
        "content",
        "create_note.content",
        _lines(
            "make a note^ called {name} / write a note^ named {name} / I need a note^ with the name {name} / start a note^ called {name} /"
            "create a note^ titled {name} / new note^ called {name}"
        ),
        _lines(
            "{content} / it says {content} / put {content} / just {content} / write {content} / it should read {content}"
        ),
    ),
    Lack(
        "append",
        "content",
        "append_note_content.content",
        _lines(
            "add^ something to my note {name} / I have something to add^ to the note {name} / append^ to the note {name} /"
            "extend^ my note {name} / put something^ into the note {name} / can you add^ a line to {name}"
        ),
        _lines("{content} / add {content} / just {content} / put {content} / it's {content} / write {content}"),
    ),
)

CORRECTIONS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("sms", "to"): _lines(
        "no wait that was meant^ for {to} / sorry I meant^ {to} / oh no it should have gone^ to {to} / wrong person it's^ {to} /"
        "hang on I wanted^ that to go to {to} / no not them send^ it to {to} / I got that wrong it was^ for {to} / oops it's for^ {to}"
    ),
    ("email", "to"): _lines(
        "no that was meant^ for {to} / sorry the email^ was for {to} / oh it should have gone^ to {to} / wrong address I meant^ {to} /"
        "hang on that email^ belongs to {to} / no send^ it to {to} instead"
    ),
    ("event", "when"): _lines(
        "no wait make^ it {when} / sorry I meant^ {when} / actually it's^ {when} / that's wrong it's^ {when} / oh move^ that to {when} /"
        "no it should^ be {when} / hang on it is^ {when}"
    ),
    ("reminder", "when"): _lines(
        "no make^ that {when} / sorry I need^ it {when} / actually remind^ me {when} / oh better^ {when} / wait I meant^ {when} /"
        "that's too soon make^ it {when}"
    ),
    ("note", "content"): _lines(
        "no it should say^ {content} / sorry I meant^ {content} / actually write^ {content} / that's wrong it's^ {content} /"
        "oh the note should^ read {content} / hang on make^ it {content}"
    ),
}
"""Turns that put right what has been done already, by intent and slot: a new call, for nothing takes the old one
back."""

ASIDES: Mapping[str, tuple[str, ...]] = {
    "thanks": _lines(
        "thanks / thank you / great thanks / perfect thank you / lovely thanks a lot / cheers / thanks so much /"
        "ta / much obliged"
    ),
    "backchannel": _lines("mm hm / okay / right / yeah / uh huh / got it / I see / alright / good / fine"),
    "change_of_mind_before": _lines(
        "never mind / forget it / oh leave it / actually don't bother / no skip it / drop that / let's not / it can wait /"
        "forget about that"
    ),
    "change_of_mind_after": _lines(
        "actually never mind that / oh I changed my mind about that / can you undo that / please take that back /"
        "no I don't want that after all /"
        "scrap that / cancel that please / I shouldn't have asked for that"
    ),
    "question": _lines(
        "did that work / is it done / did you do it / has that gone through / did it go out / is that taken care of /"
        "was that done / did you get that done"
    ),
    "who": _lines(
        "who did that go to / who was that to again / who did you send it to / which person got that / who got it /"
        "whom did you write to"
    ),
    "what": _lines(
        "what did it say again / what did you write / what was the text again / how did you put it /"
        "what exactly did you write / what does it say"
    ),
    "when": _lines(
        "when is that again / what time did you put / when did you put it / for when is it / what time was that /"
        "when was it again"
    ),
}

SUBJECTS = (
    "oh and",
    "also",
    "next",
    "something else",
    "another thing",
    "one more thing",
    "and now",
    "besides",
    "new topic",
    "different question",
)
"""What opens another subject."""


@lru_cache
def worded(kind: str, lines: tuple[str, ...], split: Split) -> tuple[str, ...]:
    """The lines of a list that a split has."""
    return divided(f"turn:{kind}", lines)[split]
