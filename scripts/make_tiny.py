"""Makes the tiny random model and its tokenizer that are committed in midsentence/models/tiny.

They stand in for a model wherever only the path through one matters (`experiment=debug`, tests). Its shape is
Llama's, its tokenizer's a byte-level BPE with the ChatML template, like SmolLM2's, except that here padding is not the
end of a turn: code that confuses the two must fail on one of them.

    python -m scripts.make_tiny [folder]
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from midsentence.ending import program

FOLDER = Path(__file__).parent.parent / "midsentence" / "models" / "tiny"
SEED = 20260513
VOCAB_TOKENS = 1536
CONTEXT_TOKENS = 4096
END, START, PAD = "<|im_end|>", "<|im_start|>", "<|endoftext|>"

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

NAMES = ["Bob", "Alice", "Sam", "Maria", "Doctor Lee", "my sister", "the whole team", "Samuel Ortiz"]
REQUESTS = [
    "text {name} that the meeting is at {hour} o'clock tomorrow",
    "could you please email {name} the report and put lunch on my calendar for Monday at {hour}",
    "what's the weather like in {place} this weekend, and find me a flight from {place} under {hour} hundred dollars",
    "remind me to call {name} on Tuesday, no wait, I mean on Thursday evening",
    "um, book a table for {hour} people near {place} and let {name} know when we should leave",
    "open the note about {place}, summarise it and send the summary to {name}",
    "calculate the area of a circle with radius {hour} and the distance between {place} and Paris",
]
PLACES = ["Berlin", "New York", "San Francisco", "Tokyo", "the train station"]
CALLS = [
    '<tool_call>\n1. get_phone_number("{name}")\n2. send_sms([$1], "The meeting is at {hour}.")\n</tool_call>',
    '<tool_call>\n1. create_calendar_event("Lunch", "2026-05-{hour} 12:30:00", location="{place}", attendees=[$1])',
    '<tool_call>\n3. get_weather(city="{place}", days=2, unit="celsius")\nREMOVE 2\n</tool_call>',
    "<think>to: {name}; msg=?</think><pause>",
    "<partial_query_update> and then the\n<final_query_update> next one\n",
    '<tool_result> 1: "+1 555 0{hour}"\n<tool_error> 2: no such contact',
    "<answer>Done: I sent {name} the message and created the reminder.</answer>",
    '{{"name": "compose_new_email", "parameters": {{"recipients": ["{name}"], "subject": "{place}", "count": {hour}}}}}',
    "You are a helpful assistant. You hear the user's request while it is spoken. Call the tools that it asks for, in order, "
    "and answer when every call is done. Arguments are positional or named; values are JSON; true, false, null.",
]

COMMON = """
the of and to in is that for it was on are with as his they at be this from have or by one had not but what all were when
we there can an your which their said if do will each about how up out them then she many some so these would other into
has more her two like him see time could no make than first been its who now people my made over did down only way find
use may water long little very after words called just where most know get through back much before go good new write our
me man too any day same right look think also around another came come work three word must because does part even place
well such here take why things help put years different away again off went old number great tell men say small every
found still between name should home big give air line set own under read last never us left end along while might next
sound below saw something thought both few those always looked show large often together asked house world going want
school important until form food keep children feet land side without boy once animals life enough took sometimes four
head above kind began almost live page got earth need far hand high year mother light parts country father let night
following picture being study second eyes soon times story boys since white days ever paper hard near sentence better best
across during today others however sure means knew try told young miles sun ways thing whole hear example heard several
change answer room sea against top turned learn point city play toward five using himself usually money seen car morning
given order open ground six eight nine ten twenty thirty hundred thousand million half quarter price cost total rate
average percent number numbers value result temperature humidity forecast wind speed distance height weight volume area
search query location latitude longitude address phone contact message email subject body recipient sender attachment
calendar event title start end date time reminder alarm note folder content document summary translate language currency
convert amount account balance transfer payment ticket flight hotel reservation restaurant movie music song artist album
player team game score league season match history biology physics chemistry equation function variable matrix vector
January February March April May June July August September October November December Monday Tuesday Wednesday Thursday
Friday Saturday Sunday please thanks hello actually instead rather sorry wait okay maybe also first finally afterwards
get_phone_number get_email_address create_calendar_event open_and_get_file_path summarize_pdf compose_new_email
reply_to_email forward_email maps_open_location maps_show_directions create_note open_note append_note_content
create_reminder send_sms get_zoom_meeting_link search_documents calculate_triangle_area get_current_weather
find_restaurants book_hotel_room stock_price_history string integer number boolean array object null true false
"""


def corpus() -> Iterator[str]:
    """Short lines of what the model hears and writes."""
    yield from COMMON.splitlines()
    hours = ["three", "12", "45", "6.5", "seventeen", "2026"]
    for name, place, hour in itertools.product(NAMES, PLACES, hours):
        for line in REQUESTS + CALLS:
            yield line.format(name=name, place=place, hour=hour)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """The byte-level BPE, trained on `corpus`; any text survives encoding and decoding."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_TOKENS,
        special_tokens=[PAD, START, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(corpus(), trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[START],
        clean_up_tokenization_spaces=False,
        model_max_length=CONTEXT_TOKENS,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def make_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """The random model, the same for the same seed."""
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT_TOKENS,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def main(folder: Path = FOLDER) -> None:
    """Makes both and says where they are."""
    tokenizer = make_tokenizer()
    make_model(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    total = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {len(tokenizer)} tokens, {total / 1e6:.2f} MB")


if __name__ == "__main__":
    program(lambda arguments: main(*map(Path, arguments[:1])), __doc__)
