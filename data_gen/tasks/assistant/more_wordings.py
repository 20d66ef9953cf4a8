"""More wordings and tails, for training alone: written without sight of those of validation and test.

A line a wording; `^` follows the word that makes the tool clear, `^^` the one that makes the second tool clear.
"""

MORE: dict[str, str] = {
    "sms": """
        shoot {to} a quick text^ saying {message}
        fire off a text^ to {to} that says {message}
        could you text^ {to} to say {message}
        would you mind texting^ {to} that {message}
        any chance you could send {to} a text^ to the effect that {message}
        I'd like {to} to get a text^ that says {message}
        I want to text^ {to} {message}
        I need a text^ sent to {to} telling them {message}
        we should text^ {to} about the fact that {message}
        quick text^ to {to} {message}
        text^ message for {to} it should say {message}
        new text^ for {to} with this in it {message}
        send an sms^ to {to} with the words {message}
        via text^ let {to} know {message}
        by text^ please tell {to} {message}
        get a text^ over to {to} explaining that {message}
        tell {to} over text^ {message}
        inform {to} by sms^ that {message}
        can you give {to} a heads up by text^ that {message}
        drop {to} a text^ along the lines of {message}
        help me text^ {to} I want to say {message}
        put {message} in a text^ to {to}
        write {message} as a text^ message for {to}
        go ahead with a text^ to {to} reading {message}
        {to} should get a text^ from me saying {message}
        please have a text^ go out to {to} with the message {message}
        type up a text^ for {to} to tell them {message}
        would you be able to send off an sms^ letting {to} know {message}
        I was hoping you could text^ {to} the news that {message}
        do me a favor by texting^ {to} {message}
        I have to let {to} know by text^ message that {message}
        start a text^ to {to} the message is {message}
        could a text^ be sent to {to} with the information that {message}
        let's send {to} a little text^ to mention that {message}
        say {message} in a text^ that goes to {to}
        please text^ the following to {to} {message}
        give {to} a text^ to tell them {message}
    """,
    "email": """
        drop {to} an email^ to say {message}
        could you email^ {to} that {message}
        would you mind writing an email^ to {to} saying {message}
        any chance you could get an email^ out to {to} explaining {message}
        I'd like to email^ {to} with the news that {message}
        I want an email^ to go to {to} stating that {message}
        I need to send {to} an email^ that says {message}
        we should let {to} know by email^ that {message}
        quick email^ to {to} telling them {message}
        new email^ for {to} the body should read {message}
        fire off an email^ to {to} about how {message}
        draft an email^ to {to} in which I say {message}
        compose an email^ for {to} letting them know {message}
        tell {to} by email^ {message}
        inform {to} in an email^ that {message}
        via email^ please notify {to} that {message}
        over email^ tell {to} that {message}
        put {message} in an email^ to {to}
        write {message} in an email^ addressed to {to}
        start a new email^ to {to} saying that {message}
        can you shoot {to} a short email^ with the words {message}
        please have an email^ sent to {to} to inform them {message}
        {to} should get an email^ from me that says {message}
        help me write an email^ to {to} because {message}
        type out an email^ for {to} reading {message}
        let {to} know in an email^ how {message}
        would you be able to email^ {to} to let them know {message}
        I was wondering if you could send an email^ over to {to} mentioning that {message}
        I have to write {to} an email^ about the fact that {message}
        prepare an email^ that tells {to} how {message}
        send {to} a brief email^ to explain that {message}
        let's email^ {to} to tell them {message}
        could an email^ go out to {to} that reads {message}
        write to {to} by email^ to pass along that {message}
        email^ message to {to} it says {message}
        send off an email^ with the text {message} to {to}
        e mail^ {to} the message is {message}
    """,
    "reply": """
        reply^ that {message}
        reply^ to this email saying {message}
        could you reply^ to them with {message}
        would you mind answering^ this email by saying {message}
        any chance you could write back^ that {message}
        I'd like to respond^ to that email with {message}
        I want to answer^ this one by telling them {message}
        I need to get back to them about this email^ to say {message}
        we should respond^ to say that {message}
        quick reply^ to this message {message}
        my reply^ to this email is {message}
        in response^ to the email say {message}
        write a response^ along the lines of {message}
        send back an answer^ saying {message}
        let the sender^ know that {message}
        tell the sender^ of this email {message}
        draft a reply^ telling them {message}
        answer^ the email I have open with {message}
        please put {message} in a reply^ to this email
        shoot back a reply^ that says {message}
        type a short answer^ to this mail that reads {message}
        hit reply^ for me to let them know {message}
        as a response^ to the last email write {message}
        can you answer^ them that {message}
        the answer^ to this email should be {message}
        start a reply^ to the current email in which I say {message}
        would you be able to send a reply^ explaining that {message}
        I owe them a reply^ to that email so tell them {message}
        respond^ to the person who wrote me with {message}
        help me reply^ to this I want to say {message}
        for the reply^ go with {message}
        I have to write back^ to whoever sent this because {message}
        let's answer^ that mail by explaining how {message}
        say {message} in my reply^
        a response^ is needed here just say {message}
        please email them back^ to mention that {message}
        give them an answer^ to the effect that {message}
    """,
    "forward": """
        forward^ this email to {to}
        forward^ it on to {to} for me
        could you forward^ what I'm reading so {to} can see it
        would you mind forwarding^ this message over to {to}
        any chance you could pass this email^ on to {to}
        I'd like {to} to see this email^
        I want this email forwarded^ to {to}
        I need to forward^ the open message to {to}
        we should share this email^ with {to}
        quick forward^ to {to} please
        get this email over^ to {to}
        let {to} have a look at this email^
        send {to} a copy of this email^
        pass the email^ along to {to}
        please have this mail forwarded^ on to {to}
        make sure this email^ reaches {to}
        {to} should be forwarded^ this
        {to} really should read this email^ of mine
        hit forward^ with {to} as the recipient
        do a forward^ of the current email for {to}
        the email I have open please forward^ it to {to}
        can you share the message I just got^ with {to}
        relay this email^ over to {to} please
        send the email I'm looking at^ over to {to}
        would you be able to forward^ {to} the latest email
        I was hoping you'd forward^ that one to {to}
        I think {to} would want to see this email^
        the email here has to be passed^ on to {to}
        let's get this forwarded^ to {to}
        show {to} this email^ please
        bring this email^ to the attention of {to}
        have that forwarded^ to {to} would you
        could this email be sent along^ to {to}
        I have an email to forward^ it goes to {to}
        loop {to} in by forwarding^ the email
        help me forward^ the mail on my screen to {to}
        send this mail onward^ to {to}
    """,
    "event": """
        put the {title} on my calendar^ {when}
        add a calendar^ entry for the {title} happening {when}
        could you create an event^ called {title} that starts {when}
        would you mind putting the {title} in my diary^ {when}
        any chance you could add the {title} to my calendar^ it starts {when}
        I'd like to have the {title} on the calendar^ {when}
        I want a calendar^ event named {title} starting {when}
        I need the {title} in my calendar^ {when}
        we should get the {title} on the calendar^ to begin {when}
        new event^ {title} taking place {when}
        calendar^ entry please the {title} is {when}
        block my calendar^ {when} for the {title}
        mark my calendar^ for the {title} taking place {when}
        save the date^ for the {title} which is {when}
        pencil^ in the {title} to start {when}
        there's a {title} that starts {when} put it on my calendar^
        I have a {title} taking place {when} that needs to go on my calendar^
        please enter the {title} into my calendar^ as beginning {when}
        set up a calendar^ event {when} with the title {title}
        create a new appointment^ {when} called {title}
        make an event^ out of the {title} starting {when}
        on my calendar^ {when} add the {title}
        in my calendar^ please note that the {title} starts {when}
        can you reserve a slot in my calendar^ {when} it's for the {title}
        my calendar^ should show {when} that I have the {title}
        get the {title} into my schedule^ {when}
        the {title} begins {when} so add it to my calendar^
        would you be able to log the {title} as an event^ {when}
        start a calendar^ entry {when} titled {title}
        I was hoping to get an appointment^ for the {title} into the books {when}
        I have to add an event^ {when} the title is {title}
        fill in my calendar^ {when} with the {title}
        let's create the event^ for the {title} to happen {when}
        help me set up an event^ it's the {title} that starts {when}
        keep my calendar^ blocked {when} because of the {title}
        {when} we have the {title} so put that on the calendar^
        a calendar^ event for {when} named {title}
    """,
    "reminder": """
        remind^ me to {chore}
        could you remind^ me that I have to {chore}
        would you mind setting a reminder^ for me to {chore}
        any chance you could remind^ me I still need to {chore}
        I'd like a reminder^ to {chore}
        I want to be reminded^ to {chore}
        I need reminding^ that I should {chore}
        we should have a reminder^ so we {chore}
        reminder^ for me to {chore} please
        new reminder^ {chore}
        set up a reminder^ that tells me to {chore}
        create a reminder^ saying {chore}
        add a reminder^ called {chore}
        put {chore} in my reminders^
        add {chore} to my reminders^
        make sure I remember^ to {chore}
        please give me a nudge^ to {chore}
        help me remember^ that I need to {chore}
        I have to {chore} so set a reminder^
        I need to {chore} please remind^ me
        in my reminders^ put down that I should {chore}
        can I get a reminder^ about having to {chore}
        start a reminder^ for me the task is to {chore}
        leave me a reminder^ I've got to {chore}
        schedule a reminder^ for when I have to {chore}
        my reminders^ should include {chore}
        would you be able to make a reminder^ to {chore} for me
        I was hoping you would remind^ me about needing to {chore}
        give me a reminder^ that it's time to {chore}
        let's set a reminder^ because I must {chore}
        I ought to {chore} so I'll need a reminder^
        a reminder^ would be good so I {chore}
        send me a reminder^ that says I should {chore}
        just a quick reminder^ for myself I have to {chore}
    """,
    "day_reminder": """
        {day} remind^ me to {chore}
        remind^ me {day} that I have to {chore}
        could you remind^ me {day} to {chore}
        would you mind setting an all day reminder^ {day} to {chore}
        any chance you could give me a reminder^ {day} that says {chore}
        I'd like to be reminded^ {day} to {chore}
        I want a reminder^ {day} so that I {chore}
        I need a reminder^ all day {day} telling me to {chore}
        we should have a reminder^ showing {day} to {chore}
        reminder^ for some time {day} to {chore}
        new all day reminder^ {day} called {chore}
        set a reminder^ to {chore} at any time {day}
        create a reminder^ to {chore} that stays up all day {day}
        add a reminder^ that I have to {chore} at some point {day}
        put {chore} in my reminders^ to show up {day}
        add {chore} to my reminders^ for the whole day {day}
        make sure I remember^ {day} to {chore}
        please help me remember^ to {chore} sometime {day}
        I have to {chore} sometime {day} so set a reminder^
        I need to {chore} at whatever time {day} please remind^ me
        {day} I have to {chore} so give me a reminder^
        {day} I want a reminder^ that I should {chore}
        can I get a reminder^ {day} about having to {chore}
        leave me a reminder^ {day} I've got to {chore}
        for the entire day {day} have a reminder^ up to {chore}
        would you be able to remind^ me to {chore} it can be any time {day}
        I was hoping you could set a reminder^ {day} for me to {chore}
        schedule a reminder^ that lasts all day {day} to {chore}
        my reminders^ {day} should include {chore}
        let's have a reminder^ come up {day} to {chore}
        keep reminding^ me all day {day} to {chore}
        if you could nudge^ me {day} to {chore} that would be great
        I must {chore} at some point {day} so remind^ me
        there has to be a reminder^ {day} because I need to {chore}
        a reminder^ without a set time {day} for me to {chore}
        {day} is when I should be reminded^ to {chore}
    """,
    "note": """
        create a note^ called {name} saying {content}
        make a new note^ named {name} that says {content}
        could you start a note^ titled {name} with the text {content}
        would you mind writing a note^ under the name {name} saying that {content}
        any chance you could take a note^ for me called {name} it should say {content}
        I'd like a new note^ with the title {name} reading {content}
        I want to write a note^ called {name} about how {content}
        I need a fresh note^ named {name} stating that {content}
        we should make a note^ called {name} to record that {content}
        new note^ {name} with the content {content}
        a new note^ titled {name} the text is {content}
        begin a note^ by the name of {name} containing {content}
        put {content} in a new note^ called {name}
        write {content} in a fresh note^ titled {name}
        save {content} as a note^ with the name {name}
        I just heard that {content} please keep it in a new note^ named {name}
        set up a note^ for {name} saying {content}
        jot down in a new note^ that {content} under the title {name}
        please open a new note^ called {name} to say {content}
        can you make me a note^ that says {content} with the title {name}
        type up a note^ saying {content} called {name}
        take this down in a new note^ named {name} it reads {content}
        in a new note^ titled {name} write {content}
        get a note started^ called {name} with the words {content}
        help me write a note^ named {name} I want it to say {content}
        record in a new note^ called {name} that {content}
        would you be able to create a note^ with {name} as the title saying {content}
        I was hoping you could write me a note^ called {name} to the effect that {content}
        let's have a new note^ for {name} that contains {content}
        the note I want to create^ is called {name} it says {content}
        draft a note^ that reads {content} the title is {name}
        I have to write down in a new note^ that {content} call it {name}
        add a new note^ to my notes called {name} saying that {content}
        store the fact that {content} as a new note^ titled {name}
        could a note be created^ with the heading {name} to say {content}
        put together a note^ called {name} with a line saying {content}
    """,
    "open_note": """
        open my {name} note^
        open up the note^ called {name}
        could you show me the note^ named {name}
        would you mind pulling up my {name} note^
        any chance you could get my note^ about {name} open
        I'd like to see the {name} note^
        I want to read my note^ titled {name}
        I need to look at my {name} note^
        we should go over the note^ called {name}
        {name} note^ please
        bring up the {name} note^ on my screen
        pull the note^ named {name} up for me
        let me see what's in my {name} note^
        let me have a look at the note^ titled {name}
        what did I write in my {name} note^
        what does the note^ called {name} say
        find me the note^ with the title {name}
        go to my {name} note^
        in my notes open^ the one called {name}
        from my notes show^ me {name}
        can I see the note^ that I called {name}
        can you find my {name} note^ for me
        display the {name} note^
        there's a note called {name} please open^ it
        I have a note named {name} that I'd like to look^ at
        get me into my {name} note^
        please have the note {name} opened^
        would you be able to open the note^ I keep on {name}
        I was looking for my {name} note^
        switch to the {name} note^
        I wrote a note about {name} show^ it to me
        check the note^ called {name} for me
        let's look through my {name} note^
        the note by the name of {name} should be opened^
        read me my {name} note^
        where's my note^ called {name}
    """,
    "append": """
        add {content} to my {name} note^
        append^ {content} to the note called {name}
        could you put {content} in my {name} note^
        would you mind adding {content} to the note^ named {name}
        any chance you could get {content} into my {name} note^
        I'd like {content} added to the {name} note^
        I want to add {content} to my note^ titled {name}
        I need {content} to go in the note^ called {name}
        we should put {content} at the end of the {name} note^
        stick {content} in the {name} note^
        in my {name} note please add^ {content}
        to the note called {name} append^ {content}
        at the bottom of my {name} note^ write {content}
        write {content} into my existing {name} note^
        extend my {name} note^ by adding {content}
        update my {name} note^ with {content}
        include {content} in the note^ titled {name}
        put {content} down in my note^ about {name}
        my {name} note is missing^ {content}
        the {name} note should have^ {content} in it
        please insert {content} at the end of my note^ called {name}
        can you append^ a line to my {name} note it should say {content}
        one more thing for the {name} note^ it's {content}
        jot {content} down in my {name} note^
        let's add {content} to what's in the {name} note^
        throw {content} into the note^ named {name}
        would you be able to append^ {content} to what I have under {name}
        I was hoping you'd add {content} onto my {name} note^
        there's something to add to my note^ titled {name} namely {content}
        I left {content} out of my {name} note^ so add it
        add a line to my {name} note^ for {content}
        expand the note^ called {name} to include {content}
        in the note named {name} put^ {content}
        {content} should go into the {name} note^
        {content} belongs in my note^ called {name} please add it
        add this to the {name} note^ {content}
        help me append^ something to the {name} note it's {content}
    """,
    "open_file": """
        open the file^ called {file}
        open up my {file} file^
        could you pull up the {file} document^
        would you mind opening the file^ named {file}
        any chance you could find the {file} file^ for me
        I'd like to see the document^ called {file}
        I want the {file} file^ open
        I need to look at the {file} document^
        we should have a look at the file^ with the name {file}
        {file} file^ please
        bring the {file} document^ up on my screen
        get the file^ {file} open for me
        let me see the document^ titled {file}
        let me look over the {file} file^
        find the document^ named {file} for me
        on my computer open^ the {file}
        in my files find^ the {file}
        from my documents open^ {file}
        can I have the {file} file^ on the screen
        can you locate the file^ called {file}
        there's a file called {file} please open^ it
        I have a document named {file} that I'd like to see^
        display the {file} document^ for me
        load up the {file} file^
        please have the document {file} opened^
        where did I save the {file} file^
        where's the document^ called {file}
        would you be able to open the {file} from my files^
        I was looking for the file^ named {file}
        search my computer^ for the {file}
        I saved a document as {file} get^ it for me
        launch the file^ {file}
        let's go through the {file} document^
        dig out the {file} file^ for me
        the file I want to open^ is {file}
        fetch the {file} from my documents^
    """,
    "map": """
        show me {place} on the map^
        could you find {place} on a map^
        would you mind pulling up {place} on the map^ for me
        any chance you could open {place} in maps^
        I'd like to see {place} on a map^
        I want to see where on the map^ {place} is
        we should look at {place} on the map^
        where is {place} on the map^
        bring up {place} in the maps^ app
        locate {place} on the map^
        let me look at {place} in maps^
        show the location^ of {place}
        open the location^ {place}
        point out {place} on the map^ for me
        can you show me where {place} is located^
        can I get a look at the map around^ {place}
        where in the world^ is {place}
        look {place} up on the map^
        search for {place} in maps^
        get {place} up on my map^
        put {place} on the map^ for me
        take a look in maps for where^ {place} is
        center the map on^ {place}
        have the map show where^ {place} is
        I was wondering where on earth^ {place} is
        would you be able to display {place} on the map^
        please open a map that shows where^ {place} is
        what does {place} look like on the map^
        let's find out where on the map^ {place} lies
        I have trouble finding {place} on the map^
        help me find {place} in the maps^ application
        whereabouts^ is {place}
    """,
    "route": """
        directions^ to {end}
        navigate^ to {end} for me
        could you give me directions^ to {end}
        would you mind showing me the way^ to {end}
        any chance you could find me a route^ to {end}
        I'd like directions^ that take me to {end}
        I need the route^ to {end} please
        we should get directions^ going to {end}
        route^ to {end} please
        the best way^ to {end}
        what's the quickest way^ to {end}
        what's the best route^ for going to {end}
        show me how to get over^ to {end}
        plan a route^ for my trip to {end}
        plot a route^ that ends in {end}
        map out^ a route to {end}
        start navigation^ to {end}
        pull up directions^ for getting to {end}
        find the way^ that goes to {end}
        get me directions^ because I'm going to {end}
        I have to be in {end} so show me the way^
        I'm heading to {end} show me how^ to go
        I'm on my way to {end} please navigate^
        which way^ is it to {end}
        which route^ should I take to {end}
        can you guide^ me to {end}
        can you work out how I'd travel^ to {end}
        let's see the route^ that leads to {end}
        please calculate a route^ with {end} as the destination
        would you be able to navigate^ me over to {end}
        bring up the way^ that I take to {end}
        I was hoping for directions^ on how to go to {end}
        lead^ me to {end}
        how would I travel^ to {end}
    """,
    "zoom": """
        set up a zoom^ for the {title} with {who} starting {when} for {length}
        could you schedule a zoom^ call with {who} about the {title} lasting {length} beginning {when}
        would you mind creating a zoom^ meeting {when} for {length} with {who} on the topic of {title}
        any chance you could get me a zoom^ link for the {title} starting {when} with {who} for {length}
        I'd like a zoom^ with {who} for {length} starting {when} to do the {title}
        I want to hold the {title} on zoom^ {when} for {length} with {who}
        I need a zoom^ link for {length} starting {when} inviting {who} to the {title}
        we should have a zoom^ call {when} with {who} for the {title} it'll take {length}
        new zoom^ meeting called {title} with {who} for {length} it begins {when}
        zoom^ call {when} with {who} for {length} titled {title}
        make a zoom^ meeting titled {title} it starts {when} lasts {length} invite {who}
        book a zoom^ for {who} lasting {length} the topic is {title} it's {when}
        arrange a zoom^ {when} for the {title} with {who} lasting {length}
        get a zoom^ going {when} it's the {title} with {who} for {length}
        generate a zoom^ link with the topic {title} for {length} starting {when} for {who}
        invite {who} to a zoom^ {when} about the {title} lasting {length}
        have {who} join me on zoom^ {when} for the {title} it runs {length}
        let's do the {title} over zoom^ with {who} starting {when} lasting {length}
        the {title} should be a zoom^ meeting with {who} taking {length} to start {when}
        please plan a zoom^ called {title} lasting {length} for {who} to begin {when}
        can you organize a zoom^ with {who} the subject is {title} starting {when} for {length}
        can I get a zoom^ link {when} for {length} it's for the {title} with {who}
        I have the {title} with {who} starting {when} so set up a zoom^ for {length}
        over zoom^ {when} I'm meeting {who} for {length} about the {title}
        via zoom^ set up the {title} for {length} with {who} beginning {when}
        put together a zoom^ session for {who} starting {when} to cover the {title} for {length}
        create a zoom^ link so {who} can join the {title} that starts {when} for {length}
        are you able to start a zoom^ meeting for the {title} lasting {length} it's with {who} starting {when}
        I was hoping to zoom^ with {who} starting {when} for {length} about the {title}
        for {length} starting {when} I need a zoom^ with {who} for the {title}
        {when} I want a zoom^ with {who} it's called {title} it takes {length}
        with {who} I'd like to have a zoom^ about the {title} starting {when} running {length}
        a zoom^ meeting of {length} with {who} to discuss the {title} starting {when}
        reserve {length} on zoom^ starting {when} for the {title} with {who}
        host the {title} on zoom^ for {who} it starts {when} for {length}
        help me set up a video call on zoom^ titled {title} for {length} starting {when} with {who} invited
        let {who} join a zoom^ that lasts {length} starting {when} the topic is {title}
        send {who} a zoom^ invite to the {title} starting {when} for {length}
    """,
    "phone": """
        what's {person}'s number^
        I need {person}'s phone^ number
        look up {person}'s mobile^ for me
        do you have {person}'s cell^ number
        get me {person}'s number^ please
        what's the phone^ number of {person}
        could you find the phone^ number for {person}
        would you mind looking up the number^ of {person}
        any chance you could tell me the phone^ number {person} has
        I'd like the number^ of {person} please
        I want to call {person} on the phone^
        I need a phone^ number for {person}
        we should have a number^ for {person} somewhere
        phone^ number of {person} please
        number^ for {person}
        what number^ can I reach {person} at
        which number^ do I dial for {person}
        how can I reach {person} by phone^
        how do I call {person} which number^ is it
        in my contacts find {person} I'm after the phone^ number
        from my address book get me the number^ of {person}
        check my contacts for the phone^ number that belongs to {person}
        do I have a number^ for {person} in my contacts
        can I have the cell^ number of {person}
        can you dig up the mobile^ number for {person}
        give me a number^ where I can call {person}
        pull up the phone^ number I have for {person}
        tell me what {person} has as a phone^ number
        let me have the telephone^ number for {person}
        search my contacts for {person} I need the number^
        would you be able to get the number^ that {person} can be called on
        I was looking for the phone^ number of someone called {person}
        I have to phone^ {person} what's the number
        I can't remember the phone^ number of {person}
        contact number^ for {person} if there is one
        on which phone^ number would I get hold of {person}
        retrieve the number^ saved under {person}
        if I wanted to call {person} which number^ would I use
    """,
    "address": """
        what's {person}'s email address^
        I need {person}'s email^
        look up {person}'s email address^ for me
        do you know {person}'s email^ by any chance
        get me {person}'s mail address^ please
        what's the email address^ of {person}
        could you find the email address^ for {person}
        would you mind looking up the email address^ that {person} uses
        any chance you could tell me the email address^ I have for {person}
        I'd like the email address^ of {person} please
        I want to know the email address^ {person} has
        I need an email address^ for {person}
        we should have an email address^ for {person} somewhere
        which email address^ can I reach {person} at
        what email^ does {person} use
        what address do I write to if I want to email^ {person}
        at which email address^ would I get hold of {person}
        in my contacts find {person} I'm after the email address^
        from my address book get me the email address^ of {person}
        check my contacts for the email address^ that belongs to {person}
        do I have an email address^ saved under {person}
        can I have the email address^ to contact {person}
        can you dig up the email address^ of {person} for me
        give me an address where I can email^ {person}
        pull up the email address^ you've got for {person}
        tell me what {person} has as an email address^
        let me have the mail address^ of {person}
        search my contacts for {person} I need the email address^
        how do I reach {person} by email^
        would you be able to get the email address^ which {person} reads
        I was looking for the email address^ of someone called {person}
        I can't remember what email address^ {person} is using
        retrieve the email address^ on file for {person}
        where do I send mail^ for {person}
        help me find an email address^ to reach {person} at
        which address should my emails^ to {person} go to
    """,
    "summary_text": """
        shoot {to} a text^ with a summary^^ of the {file}
        could you text^ {to} the key points^^ of {file}
        would you mind texting^ {to} a short summary^^ of the {file} pdf
        any chance you could send a text^ to {to} that sums^^ up the {file}
        I'd like to text^ {to} the gist^^ of the {file}
        I want {to} to get a text^ that summarizes^^ the {file}
        I need a text^ sent to {to} with the main points^^ of the {file}
        we should text^ {to} a rundown^^ of what's in the {file}
        quick text^ to {to} summarizing^^ the {file}
        in a text^ to {to} sum^^ up the {file}
        by text^ give {to} the short version^^ of the {file}
        via sms^ get a summary^^ of the {file} over to {to}
        fire off a text^ containing an overview^^ of the {file} to {to}
        send an sms^ to {to} with the highlights^^ from the {file}
        let {to} know by text^ what the main takeaways^^ from the {file} are
        text^ a brief summary^^ of {file} over to {to}
        please have a text^ go to {to} it should contain a summary^^ of the {file} document
        {to} should get a text^ with the {file} boiled^^ down to a few lines
        new text^ for {to} the content is a summary^^ of the {file}
        text^ {to} the {file} in summary^^ form
        tell {to} over text^ what the {file} says in a nutshell^^
        start a text^ to {to} put in the most important points^^ of the {file}
        would you be able to text^ {to} how you'd summarize^^ the {file}
        drop {to} a text^ I want them to have a recap^^ of the {file}
    """,
    "summary_mail": """
        drop {to} an email^ with a summary^^ of the {file}
        could you email^ {to} the key points^^ of {file}
        would you mind sending {to} an email^ that sums^^ up the {file}
        any chance you could email^ a short summary^^ of the {file} pdf to {to}
        I'd like to email^ {to} the gist^^ of the {file}
        I want an email^ to go to {to} summarizing^^ the {file}
        I need to email^ {to} a recap^^ of what the {file} says
        we should write {to} an email^ containing the main takeaways^^ of the {file}
        quick email^ to {to} with the highlights^^ of the {file}
        in an email^ to {to} summarize^^ the {file}
        by email^ give {to} the short version^^ of the {file}
        via email^ get a summary^^ of the {file} to {to}
        draft an email^ summing^^ up the {file} for {to}
        let {to} know by email^ what the main points^^ in the {file} are
        email^ a rundown^^ of the {file} over to {to}
        please have an email^ sent to {to} the content is a summary^^ of the {file} document
        {to} should get an email^ from me that summarizes^^ the {file}
        new email^ for {to} in the body put a summary^^ of the {file}
        email^ {to} the {file} boiled^^ down to the essentials
        tell {to} over email^ what the {file} says in a nutshell^^
        start an email^ to {to} it should have a digest^^ of the {file}
        would you be able to write to {to} by email^ with the {file} in summary^^ form
        prepare an email^ so that {to} can read a brief summary^^ of the {file}
    """,
    "summary_note": """
        create a note^ called {name} with a summary^^ of the {file}
        could you start a note^ titled {name} that sums^^ up the {file}
        would you mind making a new note^ named {name} with the key points^^ of the {file}
        any chance you could write a note^ called {name} summarizing^^ {file}
        I'd like a new note^ that has a summary^^ of the {file} pdf with the name {name}
        I want a new note^ under the title {name} containing the gist^^ of the {file}
        I need a new note^ called {name} to hold a short summary^^ of the {file}
        we should make a note^ of the main takeaways^^ from the {file} called {name}
        new note^ {name} with the highlights^^ of the {file}
        in a new note^ called {name} summarize^^ the {file} for me
        set up a note^ by the name of {name} it should recap^^ the {file}
        write a note^ that summarizes^^ the {file} titled {name}
        begin a note^ for {name} with an overview^^ of what's in the {file}
        please open a new note^ named {name} put the main points^^ of the {file} in there
        make me a note^ with the {file} boiled^^ down to a few lines call it {name}
        take a note^ called {name} the text is a summary^^ of the {file} document
        get a note started^ with the {file} in summary^^ form under the name {name}
        into a new note^ titled {name} put the short version^^ of the {file}
        would you be able to create a note^ with {name} as the title that gives a rundown^^ of the {file}
        help me put together a note^ called {name} I want the {file} summed^^ up in it
        let's have a new note^ containing a digest^^ of the {file} with {name} as its title
        the new note^ should be named {name} fill it with a summary^^ of the {file}
        type up a note^ titled {name} that says what the {file} is about in a nutshell^^
    """,
    "file_mail": """
        email^ {to} the file^^ called {file}
        could you email^ the {file} document^^ to {to}
        would you mind sending {to} an email^ with the {file} attached^^
        any chance you could email^ {to} a copy^^ of the {file} file
        I'd like to send {to} an email^ with the document^^ named {file}
        I want an email^ to go to {to} with the attachment^^ {file}
        I need to email^ {to} my {file} as an attachment^^
        we should get the {file} out to {to} by email^ as a file^^
        quick email^ to {to} attach^^ the {file}
        new email^ for {to} with the file^^ {file}
        in an email^ to {to} attach^^ my {file} please
        by email^ get the {file} file^^ over to {to}
        via email^ share the document^^ {file} with {to}
        compose an email^ to {to} that has the {file} as an attachment^^
        draft an email^ with the {file} attached^^ addressed to {to}
        let {to} have by email^ the document^^ called {file}
        drop {to} an email^ including the {file} file^^
        please have an email^ sent to {to} carrying the {file} document^^
        {to} should get an email^ from me with the {file} attached^^ to it
        start an email^ to {to} the attachment^^ is the {file}
        shoot the {file} over in an email^ to {to} as an attached^^ file
        would you be able to email^ the file^^ named {file} over to {to}
        get an email^ out to {to} that has the document^^ {file} with it
        prepare an email^ so {to} can get the {file} as a file^^
    """,
    "note_text": """
        open my {name} note^ and text^^ it to {to}
        could you pull up the note^ called {name} and send it in a text^^ to {to}
        would you mind opening my {name} note^ and texting^^ what it says to {to}
        any chance you could get the note^ named {name} and text^^ {to} what's in it
        I'd like you to find the {name} note^ and text^^ {to} the contents
        I want my note titled {name} opened^ and sent by text^^ to {to}
        I need the {name} note^ sent over to {to} by text^^ message
        we should take my {name} note^ and share it over text^^ with {to}
        my {name} note should go^ to {to} as a text^^
        take what I wrote in my note^ called {name} and put it in a text^^ to {to}
        bring up the note^ about {name} and fire off its contents to {to} as a text^^
        from my {name} note^ send the content to {to} via text^^
        get what my note^ named {name} says over to {to} by sms^^
        look up my {name} note^ and shoot {to} a text^^ with it
        share the note^ titled {name} with {to} over text^^
        let {to} read my {name} note^ by getting it in a text^^
        go into the note^ called {name} and let {to} know by text^^ what it says
        please use my {name} note^ as the content of a text^^ to {to}
        show me the {name} note^ and drop {to} a text^^ with what's there
        {to} should have my {name} note^ please text^^ it over
        let me have the note^ called {name} sent as a text^^ to {to}
        would you be able to read my note^ {name} and text^^ {to} the whole thing
        find the note^ by the name of {name} and have {to} get an sms^^ of it
    """,
    "route_text": """
        text^ {to} directions^^ to {end}
        could you send {to} a text^ with the route^^ to {end}
        any chance you could text^ directions^^ for getting to {end} over to {to}
        I'd like to text^ {to} the way^^ to {end}
        I need a text^ sent to {to} with directions^^ going to {end}
        we should text^ {to} the best route^^ for {end}
        quick text^ to {to} with the directions^^ that lead to {end}
        by text^ let {to} know the quickest way^^ to {end}
        via sms^ give {to} a route^^ ending in {end}
        fire off a text^ containing directions^^ to {end} so that {to} can find it
        send an sms^ with the way^^ to {end} to {to} please
        tell {to} over text^ which route^^ goes to {end}
        shoot {to} a text^ that explains the way^^ over to {end}
        please have a text^ go out to {to} it should give directions^^ for {end}
        {to} should get a text^ from me about how to travel^^ to {end}
        new text^ for {to} put in the route^^ that takes them to {end}
        drop {to} a text^ on what's the best way^^ to {end}
        start a text^ to {to} they need directions^^ because they're going to {end}
        would you be able to help {to} by text^ to navigate^^ to {end}
        get a text^ to {to} so they know what route^^ to take to {end}
        inform {to} by text^ message how they'd travel^^ to reach {end}
    """,
    "zoom_text": """
        set up a zoom^ for the {title} with {who} starting {when} for {length} and text^^ the link to {to}
        could you schedule a zoom^ call with {who} about the {title} lasting {length} beginning {when} and text^^ {to} the link
        would you mind creating a zoom^ meeting {when} for {length} with {who} on the topic of {title} and sending {to} the link by text^^
        any chance you could get me a zoom^ link for the {title} starting {when} with {who} for {length} and pass it to {to} in a text^^
        I'd like a zoom^ with {who} for {length} starting {when} to do the {title} and I want the link texted^^ to {to}
        I want to hold the {title} on zoom^ {when} for {length} with {who} and have {to} get the link by sms^^
        I need a zoom^ link {when} with {who} invited for {length} to do the {title} and a text^^ to {to} with it
        we should have a zoom^ call with {who} starting {when} for the {title} taking {length} and let {to} know the link by text^^
        new zoom^ meeting called {title} with {who} for {length} beginning {when} and shoot the link over to {to} in a text^^
        zoom^ call {when} with {who} for {length} titled {title} and the link goes by text^^ to {to}
        book a zoom^ for {who} lasting {length} the topic is {title} it's {when} and drop {to} a text^^ with the link
        arrange a zoom^ {when} for the {title} with {who} lasting {length} and send a text^^ containing the link to {to}
        generate a zoom^ link with the topic {title} for {length} starting {when} for {who} and get it to {to} via text^^
        invite {who} to a zoom^ {when} about the {title} lasting {length} and fire off a text^^ with the link to {to}
        let's do the {title} over zoom^ with {who} starting {when} lasting {length} and share the link with {to} over text^^
        please plan a zoom^ called {title} running {length} for {who} to begin {when} and by text^^ give {to} the link
        can you organize a zoom^ with {who} the subject is {title} starting {when} for {length} and have the link sent as a text^^ to {to}
        have {who} join me on zoom^ {when} for the {title} it runs {length} and put the link in a text^^ for {to}
        {when} I want a zoom^ with {who} it's called {title} it takes {length} and {to} should be texted^^ the link
        a zoom^ meeting of {length} with {who} to discuss the {title} starting {when} and text^^ it over to {to}
        create a zoom^ link so {who} can join the {title} that starts {when} for {length} and make sure {to} gets it in a text^^
        via zoom^ set up the {title} for {length} with {who} beginning {when} and forward the link in a text^^ message to {to}
        I have the {title} with {who} starting {when} so set up a zoom^ for {length} and let {to} have the link by text^^ please
        are you able to start a zoom^ meeting for the {title} lasting {length} it's with {who} starting {when} and text^^ {to} how to join
    """,
    "zoom_event": """
        set up a zoom^ for the {title} with {who} starting {when} for {length} and put it on my calendar^^
        could you schedule a zoom^ call with {who} about the {title} lasting {length} beginning {when} and add a calendar^^ entry
        would you mind creating a zoom^ meeting {when} for {length} with {who} on the topic of {title} and adding it to my calendar^^
        any chance you could get me a zoom^ link for the {title} starting {when} with {who} for {length} and save it in a calendar^^ event
        I'd like a zoom^ with {who} for {length} starting {when} to do the {title} and I want it on the calendar^^
        I want to hold the {title} on zoom^ {when} for {length} with {who} and have that show in my calendar^^
        I need a zoom^ link {when} with {who} invited for {length} to do the {title} and an event^^ in my calendar for it
        we should have a zoom^ call with {who} starting {when} for the {title} taking {length} and get it onto the calendar^^
        new zoom^ meeting called {title} with {who} for {length} beginning {when} and create an event^^ with the link
        zoom^ call {when} with {who} for {length} titled {title} and block it in my calendar^^ please
        book a zoom^ for {who} lasting {length} the topic is {title} it's {when} and enter it in my diary^^
        arrange a zoom^ {when} for the {title} with {who} lasting {length} and mark it on my calendar^^ with the link
        generate a zoom^ link with the topic {title} for {length} starting {when} for {who} and note it on the calendar^^
        invite {who} to a zoom^ {when} about the {title} lasting {length} and on my calendar^^ make an entry for it
        let's do the {title} over zoom^ with {who} starting {when} lasting {length} and make it a calendar^^ event
        please plan a zoom^ called {title} running {length} for {who} to begin {when} and the link should go in my calendar^^
        can you organize a zoom^ with {who} the subject is {title} starting {when} for {length} and keep the slot on my calendar^^
        have {who} join me on zoom^ {when} for the {title} it runs {length} and make an appointment^^ of it
        {when} I want a zoom^ with {who} it's called {title} it takes {length} and my calendar^^ needs to show it
        a zoom^ meeting of {length} with {who} to discuss the {title} starting {when} and a matching calendar^^ entry
        create a zoom^ link so {who} can join the {title} that starts {when} for {length} and set up an event^^ that has it
        via zoom^ set up the {title} for {length} with {who} beginning {when} and get my calendar^^ updated
        I have the {title} with {who} starting {when} so set up a zoom^ for {length} and put the event^^ with the link in there
        are you able to start a zoom^ meeting for the {title} lasting {length} it's with {who} starting {when} and log it in the calendar^^
    """,
}

MORE_TAILS: dict[str, str] = {
    "subject": "with {subject} as the subject / subject line {subject} / the subject is {subject} / under the subject {subject} / "
    "put {subject} in the subject line / use {subject} for the subject / the subject should be {subject} / "
    "with the heading {subject} / titled {subject} / with {subject} in the subject field / "
    "the subject line should read {subject} / give it the subject {subject}",
    "cc": "with {cc} in copy / copy {cc} in / with a copy to {cc} / put {cc} on cc / please cc {cc} / copying in {cc} / "
    "with {cc} copied in / the cc goes to {cc} / keep {cc} in the loop on that / have {cc} on cc as well / "
    "a copy should go to {cc} / on cc I'd like {cc} / let {cc} get a copy",
    "location": "at {location} / held at {location} / the place is {location} / it takes place at {location} / "
    "the location is {location} / we're meeting at {location} / with {location} as the location / it's at {location} / "
    "set the location to {location} / put down {location} for the location / happening at {location} / "
    "it'll be held at {location} / the venue is {location}",
    "who": "with {who} / invite {who} / with {who} invited / inviting {who} / please send an invite to {who} / "
    "have {who} on the guest list / the guests are {who} / I'll be joined by {who} / with {who} attending / "
    "include {who} as invitees / get {who} invited to it / put {who} down as attending / with an invitation for {who}",
    "calendar": "on my {calendar} calendar / use the {calendar} calendar / it goes on the {calendar} calendar / "
    "in the calendar called {calendar} / it belongs in my {calendar} calendar / on the calendar named {calendar} / "
    "the calendar is {calendar} / put it in the {calendar} calendar / under {calendar} in my calendars / "
    "choose my {calendar} calendar for it / that's for the {calendar} calendar / file it on my calendar for {calendar}",
    "when": "due {when} / it's due {when} / the deadline is {when} / alert me {when} / have it go off {when} / notify me {when} / "
    "it should pop up {when} / with an alert {when} / I'd like to hear about it {when} / I have to do it {when} / "
    "it has to be done {when} / let it come up {when} / set it to ring {when} / tell me about it {when}",
    "list": "on my {list} list / it goes on my {list} list / put it on the {list} list / under {list} in my lists / "
    "in the list called {list} / it belongs on the list for {list} / the list is {list} / use my {list} list / "
    "that's one for the {list} list / keep it with my {list} list / file it on the list named {list} / with my other {list} items",
    "priority": "with {priority} priority / it's {priority} priority / the priority is {priority} / set the priority to {priority} / "
    "give it {priority} priority / as a {priority} priority item / mark it as {priority} priority / "
    "the priority should be {priority} / that has {priority} priority / flag it {priority} priority / "
    "at {priority} priority / with the priority set to {priority}",
    "folder": "in my {folder} folder / in the folder called {folder} / it goes in the {folder} folder / put it into my {folder} folder / "
    "the folder is {folder} / save it to the {folder} folder / under {folder} in my folders / file it in the folder {folder} / "
    "keep it in the folder named {folder} / it belongs in my {folder} folder / use my {folder} folder / "
    "inside the {folder} folder / store it in the folder for {folder}",
    "start": "from {start} / starting from {start} / starting in {start} / I'm coming from {start} / I'll be leaving from {start} / "
    "beginning in {start} / with {start} as the starting point / I'm in {start} right now / setting out from {start} / "
    "the starting point is {start} / we leave from {start} / my trip starts in {start} / departing from {start}",
    "transport": "travelling {transport} / going {transport} / I'm going {transport} / I'll be travelling {transport} / "
    "we're getting there {transport} / I want to go {transport} / preferably {transport} / if I go {transport} / "
    "getting there {transport} / I'd like to travel {transport} / we'll be going {transport} / we're travelling {transport}",
    "message": "with the message {message} / saying {message} / with a note that {message} / tell them {message} / "
    "to let them know {message} / with a line saying {message} / adding that {message} / mention that {message} / "
    "write {message} above it / with the comment that {message} / put {message} at the top / "
    "to say that {message} / explaining that {message} / let them know {message}",
}
