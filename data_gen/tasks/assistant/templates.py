"""The wordings: a template is one intent's wording, and belongs to one split.

Owns the texts and their parsing. ``^`` stands after the word that makes the tool clear, ``^^`` after the one that makes
a chain's second tool clear; ``{slot}`` is a value. A line that begins with ``~`` is indirect: it does not name its verb
where one expects it, and only `naturalistic` uses it. `more_wordings` has more for training alone. Does not know values
and calls.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from data_gen.seeds import child
from data_gen.task import Split
from data_gen.tasks.assistant.entities import CLUSTER_SHARES
from data_gen.tasks.assistant.more_wordings import MORE, MORE_TAILS
from data_gen.tasks.nearness import allotted, clusters, mask, one_word_apart, pairs_apart

_SLOT = re.compile(r"\{(\w+)\}(\S*)")


@dataclass(frozen=True, slots=True)
class Part:
    """A word, or a slot."""

    text: str = ""
    """The word, or what follows the slot's last word without a space."""
    slot: str = ""
    """The slot's name; empty for a word."""
    mark: int = 0
    """1 or 2 where the tool of that stage is clear after this word."""


@dataclass(frozen=True, slots=True)
class Template:
    """One wording."""

    id: str
    """Its intent and its line."""
    intent: str
    """What it asks for."""
    parts: tuple[Part, ...]
    """Words and slots, in order."""
    indirect: bool = False
    """Whether it asks without naming the verb."""

    @property
    def slots(self) -> tuple[str, ...]:
        """Its slots in order."""
        return tuple(part.slot for part in self.parts if part.slot)


WORDINGS: dict[str, str] = {
    "sms": """
        text^ {to} that {message}
        text^ {to} saying {message}
        text^ {to} {message}
        send {to} a text^ saying {message}
        send {to} a text^ message that says {message}
        send a text^ to {to} saying {message}
        send a text^ message to {to} that {message}
        shoot {to} a text^ that {message}
        shoot a text^ to {to} saying {message}
        message^ {to} that {message}
        message^ {to} saying {message}
        sms^ {to} that {message}
        send an sms^ to {to} saying {message}
        drop {to} a text^ that says {message}
        tell {to} by text^ that {message}
        tell {to} that^ {message}
        let {to} know^ that {message}
        let {to} know^ by text that {message}
        fire off a text^ to {to} saying {message}
        ping^ {to} that {message}
        can you text^ {to} that {message}
        could you text^ {to} and tell them that {message}
        would you send {to} a quick text^ that {message}
        I need you to text^ {to} that {message}
        get a text^ over to {to} saying {message}
        write {to} a text^ that {message}
        ~ {to} ought to know^ that {message}
        ~ somebody should tell {to} that^ {message}
        ~ I want {to} to hear^ that {message}
        ~ I'd feel better if {to} knew^ that {message}
        ~ {to} is probably wondering^ so pass on that {message}
        ~ it would be good if {to} got a text^ that {message}
        ~ make sure {to} gets the word^ that {message}
        ~ don't leave {to} in the dark^ pass on that {message}""",
    "email": """
        email^ {to} that {message}
        email^ {to} saying {message}
        email^ {to} and say that {message}
        send {to} an email^ saying {message}
        send {to} an email^ that says {message}
        send an email^ to {to} saying {message}
        send a mail^ to {to} that {message}
        mail^ {to} that {message}
        write {to} an email^ saying {message}
        write an email^ to {to} that {message}
        shoot {to} an email^ that {message}
        shoot an email^ over to {to} saying {message}
        drop {to} an email^ that says {message}
        fire off an email^ to {to} saying {message}
        compose^ an email to {to} that says {message}
        compose^ a message to {to} by email saying {message}
        could you email^ {to} that {message}
        can you send an email^ to {to} telling them that {message}
        I need to email^ {to} that {message}
        I'd like to email^ {to} saying {message}
        draft^ and send an email to {to} saying {message}
        get an email^ out to {to} saying {message}
        ~ {to} should find in their inbox^ that {message}
        ~ it's time {to} got an email^ saying {message}
        ~ I still owe {to} an email^ that {message}
        ~ in an email^ that goes to {to} put that {message}
        ~ I promised {to} an email^ it should say {message}
        ~ {to} prefers email^ so let them know there that {message}""",
    "reply": """
        reply^ that {message}
        reply^ to this email saying {message}
        reply^ to that email that {message}
        reply^ saying {message}
        answer^ this email with {message}
        answer^ the email saying {message}
        respond^ to this email that {message}
        respond^ saying {message}
        write back^ that {message}
        write back^ saying {message}
        send a reply^ saying {message}
        send a reply^ that {message}
        can you reply^ to this one that {message}
        could you respond^ to the email I'm reading saying {message}
        get back^ to the sender saying {message}
        ~ whoever wrote^ this email should hear back that {message}
        ~ I owe an answer^ to this email it should say {message}
        ~ the sender^ of this email needs to hear that {message}""",
    "forward": """
        forward^ this email to {to}
        forward^ this to {to}
        forward^ that email to {to}
        forward^ the email I have open to {to}
        forward^ it to {to}
        pass this email^ on to {to}
        pass this email^ along to {to}
        send this email^ on to {to}
        send this email^ over to {to}
        relay^ this email to {to}
        relay^ it to {to}
        could you forward^ this message to {to}
        can you forward^ the mail to {to}
        share this email^ with {to}
        I want to forward^ this email to {to}
        I'd like this email forwarded^ to {to}
        could you see that this email^ gets to {to}
        have the open email^ go out to {to}
        let {to} have a copy^ of this email
        ~ {to} should see this email^ as well
        ~ {to} needs to read this email^ too
        ~ I think this email^ is really for {to}""",
    "event": """
        schedule an event^ called {title} {when}
        schedule an event^ {when} called {title}
        add an event^ called {title} {when}
        create an event^ called {title} {when}
        create a calendar^ event called {title} {when}
        create a calendar^ entry for {title} {when}
        put {title} on my calendar^ {when}
        put {title} in the calendar^ {when}
        add {title} to my calendar^ {when}
        add {title} to the calendar^ {when}
        make a calendar^ event {when} called {title}
        block^ time {when} for {title}
        block^ off time for {title} {when}
        block^ my calendar {when} for {title}
        pencil^ in {title} {when}
        pencil^ {title} in {when}
        new event^ {title} {when}
        set up an event^ called {title} {when}
        I need an event^ called {title} {when}
        could you put an event^ called {title} {when}
        enter {title} in the calendar^ {when}
        calendar^ {title} {when}
        ~ {title} is happening^ {when} so it belongs on the calendar
        ~ I can't miss {title} so it should be on my calendar^ {when}
        ~ my calendar^ should have {title} {when}
        ~ we agreed^ on {title} {when} keep that slot free
        ~ keep my schedule^ free {when} for {title}""",
    "reminder": """
        remind^ me to {chore} {when}
        remind^ me {when} to {chore}
        remind^ me to {chore}
        remind^ me that I have to {chore} {when}
        remind^ me that I need to {chore}
        set a reminder^ to {chore} {when}
        set a reminder^ {when} to {chore}
        set a reminder^ to {chore}
        set me a reminder^ to {chore} {when}
        add a reminder^ to {chore} {when}
        add a reminder^ to {chore}
        create a reminder^ to {chore} {when}
        create a reminder^ {when} to {chore}
        make a reminder^ to {chore}
        give me a reminder^ to {chore} {when}
        put {chore} on my to-do^ list
        put a reminder^ in to {chore} {when}
        nudge^ me to {chore} {when}
        nudge^ me {when} to {chore}
        can you remind^ me to {chore} {when}
        could you set a reminder^ {when} to {chore}
        I want a reminder^ to {chore}
        jog my memory^ {when} about having to {chore} please
        make sure I remember^ {when} that I must {chore}
        alert^ me when it is time to {chore}
        don't let me forget^ to {chore}
        don't let me forget^ to {chore} {when}
        ~ I mustn't forget^ to {chore}
        ~ I keep forgetting^ to {chore} so bring it up {when}
        ~ I have to {chore} and I will not remember^ that on my own
        ~ help me remember^ to {chore} {when}
        ~ it slips^ my mind that I have to {chore} bring it up {when}""",
    "day_reminder": """
        remind^ me to {chore} {day}
        remind^ me {day} to {chore}
        set a reminder^ to {chore} {day}
        set a reminder^ {day} to {chore}
        add a reminder^ to {chore} {day}
        create a reminder^ {day} to {chore}
        put a reminder^ in {day} to {chore}
        give me a reminder^ {day} to {chore}
        nudge^ me {day} to {chore}
        I'd like a reminder^ to {chore} {day}
        I need to be reminded^ {day} to {chore}
        have a reminder^ pop up {day} to {chore}
        could you jog my memory^ {day} about having to {chore}
        keep it in mind^ for me to {chore} {day}
        don't let me forget^ to {chore} {day}
        ~ help me remember^ to {chore} {day}
        ~ it would be bad to forget^ to {chore} {day}
        ~ I mustn't forget^ to {chore} {day}""",
    "note": """
        make a note^ called {name} saying {content}
        make a note^ called {name} that says {content}
        create a note^ called {name} saying {content}
        create a note^ titled {name} with the text {content}
        create a new note^ called {name} that says {content}
        start a note^ called {name} with {content}
        start a new note^ titled {name} saying {content}
        write a note^ called {name} saying {content}
        write a note^ titled {name} that says {content}
        new note^ {name} saying {content}
        new note^ called {name} that {content}
        take a note^ called {name} that {content}
        jot^ down in a new note called {name} that {content}
        save a note^ called {name} that says {content}
        could you make a note^ titled {name} saying {content}
        I need a note^ called {name} that says {content}
        ~ I want to have it in writing^ under {name} that {content}
        ~ before I lose the thought^ file under {name} that {content}
        ~ for the record^ under {name} that {content}""",
    "open_note": """
        open my note^ {name}
        open the note^ called {name}
        open up the {name} note^
        open the {name} note^
        open my {name} note^
        show me the note^ called {name}
        show me my {name} note^
        show the {name} note^
        pull up the {name} note^
        pull up my note^ called {name}
        bring up the {name} note^
        bring up my note^ titled {name}
        can you open the note^ {name}
        could you show me the {name} note^
        get me the {name} note^
        let me see the {name} note^
        I'd like to see my {name} note^
        ~ I wonder what I wrote^ in {name}
        ~ what did I write^ down in {name}
        ~ I need another look at what I noted^ in {name}""",
    "append": """
        add to my note^ {name} {content}
        add to the note^ called {name} {content}
        add {content} to the {name} note^
        add {content} to my note^ called {name}
        add {content} to my {name} note^
        append^ {content} to the {name} note
        append^ {content} to {name}
        append^ to {name} the line {content}
        append^ to my note {name} {content}
        put {content} in the {name} note^
        put {content} in my note^ {name}
        write {content} in my {name} note^
        write {content} into the note^ called {name}
        stick {content} in the {name} note^
        include {content} in my {name} note^
        ~ {content} should be in the {name} note^
        ~ {content} is missing from my {name} note^
        ~ I left {content} out of the {name} note^""",
    "open_file": """
        open the file^ {file}
        open the file^ called {file}
        open the {file} file^
        open up the {file} file^
        open my {file} file^
        open the {file} document^
        open the document^ called {file}
        pull up the {file} file^
        pull up the document^ called {file}
        bring up the {file} document^
        bring up the {file} file^
        show me the {file} file^
        show me the document^ {file}
        can you open the document^ {file}
        could you pull up the file^ {file}
        get the {file} file^ on screen
        I need the {file} document^ open
        ~ I have to look at the {file} document^
        ~ let me see the {file} file^ for a second
        ~ where did I put the file^ {file} get it on screen""",
    "map": """
        show me {place} on the map^
        show {place} on a map^
        show me on the map^ where {place} is
        open {place} in maps^
        open {place} on the map^
        open the map^ at {place}
        open maps^ at {place}
        pull up {place} on the map^
        pull up a map^ of {place}
        bring up {place} on the map^
        bring up a map^ of {place}
        find {place} on the map^
        find {place} in maps^
        locate^ {place}
        locate^ {place} on the map
        can you show me a map^ of {place}
        put {place} on the map^
        look up {place} on the map^
        ~ I have no idea where {place} even is on a map^
        ~ where in the world^ is {place}
        ~ I'm curious where^ {place} lies""",
    "route": """
        give me directions^ to {end}
        give me directions^ from {start} to {end}
        get directions^ to {end}
        get directions^ from {start} to {end}
        get me directions^ to {end}
        show me directions^ to {end}
        show directions^ from {start} to {end}
        show me the way^ to {end}
        show me the way^ from {start} to {end}
        directions^ to {end}
        directions^ from {start} to {end}
        navigate^ to {end}
        navigate^ me to {end}
        navigate^ from {start} to {end}
        plan a route^ to {end}
        plan a route^ from {start} to {end}
        find a route^ from {start} to {end}
        find the route^ to {end}
        how do I get^ to {end}
        how do I get^ from {start} to {end}
        take me^ to {end}
        I need directions^ to {end}
        ~ I have to be in {end} and don't know the way^
        ~ I want to travel^ to {end} somehow
        ~ I'd be lost^ on the way to {end} without help""",
    "zoom": """
        set up a zoom^ called {title} with {who} {when} for {length}
        set up a zoom^ with {who} {when} for {length} about {title}
        set up a zoom^ meeting with {who} {when} for {length} called {title}
        schedule a zoom^ with {who} {when} for {length} called {title}
        schedule a zoom^ called {title} {when} for {length} with {who}
        schedule a zoom^ meeting {when} for {length} with {who} about {title}
        create a zoom^ meeting called {title} {when} for {length} with {who}
        create a zoom^ link for {title} {when} for {length} with {who}
        make a zoom^ for {title} with {who} {when} lasting {length}
        get a zoom^ link for {title} with {who} {when} for {length}
        get me a zoom^ link for {title} {when} for {length} with {who}
        start a zoom^ called {title} with {who} {when} for {length}
        book a zoom^ with {who} {when} for {length} about {title}
        book a zoom^ called {title} {when} for {length} with {who}
        arrange a zoom^ with {who} {when} for {length} about {title}
        I need a zoom^ with {who} about {title} {when} for {length}
        plan a zoom^ called {title} with {who} for {length} {when}
        ~ {who} should be on zoom^ for {title} {when} for {length}
        ~ I'd like to talk over zoom^ about {title} with {who} {when} for {length}
        ~ we do {title} over zoom^ {when} for {length} with {who}""",
    "phone": """
        what is {person}'s phone^ number
        what's {person}'s phone^ number
        what's the phone^ number of {person}
        what is {person}'s number^
        get me {person}'s phone^ number
        get {person}'s number^
        find {person}'s phone^ number
        find me the phone^ number of {person}
        look up {person}'s phone^ number
        look up the phone^ number of {person}
        look up {person}'s number^
        give me {person}'s phone^ number
        give me the number^ of {person}
        tell me {person}'s phone^ number
        I need {person}'s number^
        can you find {person}'s phone^ number
        ~ I want to call^ {person} but don't have the number
        ~ how do I reach {person} by phone^
        ~ I've lost {person}'s phone^ number""",
    "address": """
        what is {person}'s email^ address
        what's {person}'s email^
        what's the email^ address of {person}
        get me {person}'s email^ address
        get {person}'s email^
        find {person}'s email^ address
        find me the email^ address of {person}
        look up {person}'s email^ address
        look up the email^ address of {person}
        look up {person}'s email^
        give me {person}'s email^ address
        give me the email^ of {person}
        tell me {person}'s email^ address
        I need {person}'s email^ address
        can you find {person}'s email^
        ~ how do I reach {person} by email^
        ~ I've lost {person}'s email^ address
        ~ where do I mail^ things that are meant for {person}""",
    "summary_text": """
        text^ {to} a summary^^ of the {file}
        text^ {to} a summary^^ of {file}
        send {to} a text^ with a summary^^ of {file}
        send a text^ to {to} with a summary^^ of the {file}
        send {to} a text^ summarizing^^ the {file}
        shoot {to} a text^ with the gist^^ of {file}
        message^ {to} a summary^^ of the {file}
        message^ {to} the gist^^ of the {file}
        sms^ {to} a summary^^ of {file}
        could you text^ {to} a short summary^^ of the {file}
        I want to text^ {to} the summary^^ of {file}
        ~ it would be good if {to} got a text^ with the summary^^ of {file}""",
    "summary_mail": """
        email^ {to} a summary^^ of the {file}
        email^ {to} a summary^^ of {file}
        send {to} an email^ with a summary^^ of {file}
        send an email^ to {to} with a summary^^ of the {file}
        send an email^ summarizing^^ {file} to {to}
        mail^ {to} a summary^^ of {file}
        write {to} an email^ with the summary^^ of {file}
        write an email^ to {to} summarizing^^ the {file}
        shoot {to} an email^ with the gist^^ of {file}
        shoot an email^ to {to} with a summary^^ of {file}
        could you email^ {to} the gist^^ of the {file}
        I'd like to email^ {to} a short summary^^ of {file}
        compose^ an email to {to} summarizing^^ the {file}
        ~ it's time {to} got an email^ with the summary^^ of {file}""",
    "summary_note": """
        make a note^ called {name} with a summary^^ of {file}
        make a note^ called {name} summarizing^^ the {file}
        create a note^ titled {name} with a summary^^ of the {file}
        create a note^ called {name} summarizing^^ {file}
        start a note^ called {name} with the gist^^ of {file}
        write a note^ called {name} that sums^^ up the {file}
        new note^ {name} with a summary^^ of {file}
        save a note^ called {name} with the summary^^ of the {file}
        take a note^ called {name} summarizing^^ {file}
        could you make a note^ titled {name} with the gist^^ of the {file}
        ~ before I lose the thought^ file under {name} a summary^^ of {file}""",
    "file_mail": """
        email^ {to} the file^^ {file}
        email^ {to} the {file} file^^
        email^ the {file} file^^ to {to}
        send {to} an email^ with the file^^ {file}
        send an email^ to {to} with the file^^ {file} attached
        send an email^ to {to} with the {file} document^^ attached
        mail^ {to} the {file} document^^
        mail^ the file^^ {file} to {to}
        could you email^ the document^^ {file} to {to}
        can you email^ {to} the {file} document^^
        shoot {to} an email^ with the {file} file^^
        ~ I still owe {to} an email^ with the file^^ {file}""",
    "note_text": """
        open my note^ {name} and text^^ it to {to}
        open the note^ called {name} and text^^ it to {to}
        open the {name} note^ and text^^ it to {to}
        open the {name} note^ and send a text^^ with it to {to}
        open up the {name} note^ and text^^ what it says to {to}
        pull up the {name} note^ and text^^ it to {to}
        pull up my note^ called {name} and text^^ {to} what it says
        bring up the {name} note^ and text^^ it to {to}
        show me my {name} note^ and text^^ it to {to}
        get me the {name} note^ and text^^ its content to {to}
        ~ I wonder what I wrote^ in {name} and want to text^^ it to {to}""",
    "route_text": """
        text^ {to} directions^^ to {end}
        text^ {to} the directions^^ to {end}
        text^ {to} the way^^ to {end}
        text^ directions^^ to {end} to {to}
        send {to} a text^ with directions^^ to {end}
        send a text^ to {to} with directions^^ to {end}
        message^ {to} directions^^ to {end}
        message^ {to} the route^^ to {end}
        could you text^ {to} the route^^ to {end}
        shoot {to} a text^ with the directions^^ to {end}
        ~ it would be good if {to} got a text^ with directions^^ to {end}""",
    "zoom_text": """
        set up a zoom^ called {title} with {who} {when} for {length} and text^^ {to} the link
        set up a zoom^ with {who} {when} for {length} about {title} and text^^ the link to {to}
        schedule a zoom^ called {title} {when} for {length} with {who} and text^^ {to} the link
        schedule a zoom^ with {who} {when} for {length} called {title} and text^^ the link to {to}
        create a zoom^ meeting called {title} {when} for {length} with {who} and send a text^^ with the link to {to}
        make a zoom^ for {title} with {who} {when} lasting {length} and text^^ {to} the link
        get a zoom^ link for {title} with {who} {when} for {length} and text^^ it to {to}
        book a zoom^ called {title} {when} for {length} with {who} and text^^ the link to {to}
        book a zoom^ with {who} {when} for {length} about {title} and text^^ {to} the link
        start a zoom^ called {title} with {who} {when} for {length} and text^^ {to} the link
        ~ I'd like to talk over zoom^ about {title} with {who} {when} for {length} and text^^ {to} the link""",
    "zoom_event": """
        set up a zoom^ called {title} with {who} {when} for {length} and put it on my calendar^^
        schedule a zoom^ called {title} {when} for {length} with {who} and put it in the calendar^^
        schedule a zoom^ with {who} {when} for {length} called {title} and add it to my calendar^^
        create a zoom^ meeting called {title} {when} for {length} with {who} and add it to my calendar^^
        book a zoom^ called {title} {when} for {length} with {who} and put the link on my calendar^^
        arrange a zoom^ with {who} {when} for {length} about {title} and put it in the calendar^^
        make a zoom^ for {title} with {who} {when} lasting {length} and enter it in my calendar^^
        get a zoom^ link for {title} with {who} {when} for {length} and put it on my calendar^^
        plan a zoom^ called {title} with {who} for {length} {when} and put it on the calendar^^
        I need a zoom^ with {who} about {title} {when} for {length} and want it on my calendar^^
        ~ we do {title} over zoom^ {when} for {length} with {who} so it belongs on the calendar^^""",
}

TAILS: dict[str, str] = {
    "subject": (
        "with the subject {subject}/with subject {subject}/with {subject} as the subject/"
        "under the subject line {subject}/the subject is {subject}/subject {subject}/"
        "and title it {subject}/let the subject read {subject}"
    ),
    "cc": ("and copy {cc}/with {cc} in copy/and cc {cc}/and keep {cc} in copy/and put {cc} in cc/with a copy to {cc}"),
    "location": (
        "in {location}/at {location}/the place is {location}/"
        "located in {location}/meeting in {location}/it's in {location}/"
        "the venue will be {location}/everybody meets over at {location}/and book us into {location}/we gather inside of {location}"
    ),
    "who": (
        "with {who}/and invite {who}/inviting {who}/"
        "together with {who}/with {who} as guests/and add {who} as guests/"
        "the guests are {who}/send invitations to {who}"
    ),
    "calendar": (
        "in the {calendar} calendar/on my {calendar} calendar/using the {calendar} calendar/"
        "it goes in the {calendar} calendar/in my {calendar} calendar/under the {calendar} calendar/"
        "and file it under my {calendar} calendar/let it show up on the {calendar} calendar/"
        "the {calendar} calendar is the right one for it/store that on my {calendar} calendar"
    ),
    "when": (
        "{when}/due {when}/and make it due {when}/"
        "scheduled {when}/the time is {when}/and set it {when}/"
        "that should happen {when}/I want it to go off {when}"
    ),
    "list": (
        "on my {list} list/in the {list} list/on the {list} list/"
        "in my {list} list/under my {list} list/it goes on the {list} list/"
        "and file that with the {list} list/it belongs to my {list} list/let the {list} list have it/store that among the {list} list"
    ),
    "priority": (
        "with {priority} priority/at {priority} priority/and give it {priority} priority/"
        "the priority is {priority}/marked {priority} priority/and make it {priority} priority/"
        "treat it as {priority} priority/for me it has {priority} priority/I consider that {priority} priority"
    ),
    "folder": (
        "in the {folder} folder/in my {folder} folder/inside the {folder} folder/"
        "and keep it in the {folder} folder/under the {folder} folder/it goes in the {folder} folder/"
        "let the {folder} folder have it/my {folder} folder is the place for it/and file that with the {folder} folder"
    ),
    "start": (
        "from {start}/starting in {start}/starting from {start}/"
        "leaving from {start}/coming from {start}/setting out from {start}/"
        "my starting point is {start}/I'm going to leave from {start}/we begin at {start}/the trip begins in {start}"
    ),
    "transport": (
        "{transport}/going {transport}/travelling {transport}/"
        "I'm going {transport}/and I go {transport}/we go {transport}/"
        "I'd rather go {transport}/the plan is to travel {transport}/let's do it {transport}"
    ),
    "message": (
        "and say that {message}/saying {message}/with the comment {message}/"
        "and add that {message}/and mention that {message}/adding that {message}/"
        "the comment should be {message}/and let the line on top read {message}"
    ),
}
"""Ways to add an optional slot after a wording."""


@lru_cache
def templates(intent: str, split: Split, indirect: bool = False) -> tuple[Template, ...]:
    """The wordings of an intent in a split.

    Args:
        intent: name of the intent.
        split: the split.
        indirect: whether to give the indirect ones instead of the direct ones.
    """
    splits = _splits()
    prefix = f"~{intent}" if indirect else intent
    lines = [line for line in _lines(intent, indirect) if splits[intent, line] == split]
    if split == "train" and not indirect:
        lines += _more(intent, MORE[intent].splitlines())
    return tuple(_parse(line, intent, prefix) for line in lines)


@lru_cache
def tails(slot: str, split: Split) -> tuple[Template, ...]:
    """The ways of adding an optional slot in a split."""
    splits, name = _splits(), f"+{slot}"
    lines = [line for line in TAILS[slot].split("/") if splits[name, line] == split]
    if split == "train":
        lines += _more(name, MORE_TAILS[slot].split("/"))
    return tuple(_parse(line, name, name) for line in lines)


@lru_cache
def _splits() -> dict[tuple[str, str], str]:
    """The split of every wording and tail: those that are a word apart, slots aside, are in the same."""
    # indirect wordings are counted together: an intent may have none in a split
    wordings = [
        (intent, line, "~" if indirect else intent)
        for intent in WORDINGS
        for indirect in (False, True)
        for line in _lines(intent, indirect)
    ]
    found = _alike(wordings)
    for slot in TAILS:  # a tail is a few words, so tails of different slots are alike in what says nothing
        found |= _alike([(f"+{slot}", line, f"+{slot}") for line in TAILS[slot].split("/")])
    return found


def _more(name: str, lines: Sequence[str]) -> list[str]:
    """Those of the lines for training alone that are not a word apart, slots aside, from what validation or test
    says."""
    tail = name.startswith("+")
    # tails are compared among those of their own slot: of different slots they are alike in what says nothing
    kept = [
        mask(line.replace("^", ""))
        for (of, line), split in _splits().items()
        if split != "train" and (of == name if tail else not of.startswith("+"))
    ]
    listed = {line.replace("^", "") for of, line in _splits() if of == name}
    found = [text for line in lines if (text := line.strip()) and text.replace("^", "") not in listed]
    return [line for line in found if not any(one_word_apart(mask(line.replace("^", "")), other) for other in kept)]


def _alike(items: list[tuple[str, str, str]]) -> dict[tuple[str, str], str]:
    """Splits of lines: of what, the line, and the group in which the shares are counted."""
    linked = clusters(len(items), pairs_apart([mask(line.replace("^", "")) for _, line, _ in items]))
    order = [child(0, "split", "template", name, line) for name, line, _ in items]
    splits = allotted([group for *_, group in items], linked, order, CLUSTER_SHARES)
    return {(name, line): split for (name, line, _), split in zip(items, splits)}


def _lines(intent: str, indirect: bool) -> list[str]:
    lines = [line.strip() for line in WORDINGS[intent].splitlines() if line.strip()]
    return [line.lstrip("~ ") for line in lines if line.startswith("~") == indirect]


def every_line() -> list[str]:
    """Every wording of every intent and split, without marks."""
    return [
        line.replace("^", "") for intent in WORDINGS for indirect in (False, True) for line in _lines(intent, indirect)
    ]


def parts_of(line: str) -> list[Part]:
    """A line's words and slots, with their marks."""
    parts = []
    for token in line.split():
        mark = token.count("^")
        token = token.replace("^", "")
        found = _SLOT.fullmatch(token)
        parts.append(Part(found[2], found[1]) if found else Part(token, mark=mark))
    return parts


def _parse(line: str, intent: str, prefix: str) -> Template:
    return Template(f"{prefix}: {line.replace('^', '')}", intent, tuple(parts_of(line)))
