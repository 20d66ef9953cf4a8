"""The settings' types: one dataclass a group, so that an unknown key or a value of the wrong type is refused.

Owns names, types and defaults. YAML files fill in values and add nothing. Imports nothing of the rooms.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore

from configs.limits import keyed, number, one_of, several, span


@dataclass
class ModelConfig:
    """Which model, and how it writes the protocol."""

    name: str = "smollm2"
    """``smollm2`` (embedded), ``tiny`` (random, for debugging), a folder, or a hub id with its commit
    (``ID@COMMIT``)."""
    adapter: str | None = None
    """Folder of a PEFT adapter or of a checkpoint made by `training.sft`, or the name of an adapter that comes with the
    code (``smollm2-midsentence``); None for the model as it comes."""
    tags: str = one_of("token", "token", "text")
    """``token``: each tag is one added token; ``text``: plain text, for models that were not trained here."""
    turns: str | None = one_of(None, "flat", "chat")
    """``flat``: one stream without role headers, the default where tags are tokens; ``chat``: in the model's chat
    format."""
    dtype: str = one_of("bfloat16", "bfloat16", "float16", "float32")
    """Type of the weights and of arithmetic. Replays are the same on every machine in ``float32`` alone."""


@dataclass
class ProfileConfig:
    """One device."""

    decode_tokens_per_s: int = number(40, 1)
    """Tokens that the model writes in a second."""
    prefill_tokens_per_s: int = number(400, 1)
    """Tokens that it takes in in a second."""
    restart_s: float = number(0.02, 0)
    """Seconds that every append costs on top of its tokens: stopping, copying, launching."""


@dataclass
class ClockConfig:
    """Device profiles, and the rates that training samples."""

    stamps: str = one_of("none", "none", "text", "token")
    """Clock stamps on environment segments: ``none``, ``text`` or ``token``."""
    profiles: dict[str, ProfileConfig] = field(default_factory=dict)
    """Device profiles by name."""
    train_decode_tokens_per_s: list[int] = span(15, 250, least=1)
    """Range of decode rates that training samples, log-uniform."""
    train_prefill_ratio: list[float] = span(5.0, 60.0, above=0)
    """Range of prefill rate over decode rate, log-uniform."""
    train_restart_s: list[float] = span(0.005, 0.05, above=0)
    """Range of restart costs that training samples, in seconds, log-uniform."""
    held_out_decode_tokens_per_s: list[int] = span(35, 50, least=1)
    """Decode rates that training never samples, for test: half-open."""


GONE = {"duplicate_writes": False}
"""Settings of ``agent`` that there are no more, each with the value that says what always holds now. Recipes count them
still, so that what was made before is known again; a folder that has another value is refused by name
(`configs.folder`)."""


@dataclass
class AgentConfig:
    """What a mode's row of settings is changed by."""

    interrupt: str = one_of("line", "token", "line", "action")
    """What new information cuts: ``token`` everything at once, ``line`` lets a call line that has begun finish,
    ``action`` the whole action. A thought is cut at once."""
    commit: str = one_of("line", "line", "action", "paper")
    """``line`` by a COMMIT line or an answer, ``action`` at the end of an action, ``paper``."""
    commit_on: str = one_of("final", "final", "silence")
    """``silence`` lets the agent commit before the endpoint's word."""
    revise: str = one_of("amend", "amend", "reissue")
    """``amend``: single arguments are set or added to, and calls may be open."""
    revise_cascade: str = one_of("rerun", "rerun", "cancel")
    """What happens to calls that depend on a revised one: they run again (``rerun``) or are cancelled (``cancel``)."""
    commit_grace_s: float = number(0.0, 0)
    """Seconds that released calls wait for speech that reopens the turn."""
    runs_lines: bool = True
    """Whether modes that do not listen let a call go when its line is complete, as LLMCompiler does, or with the whole
    action."""
    eager_listening: bool = False
    """Whether modes that listen begin their answers on a predicted end of speech too, as ``eager_end`` does."""
    whole: bool = False
    """Whether modes that do not listen show the model what was said in one piece, at the end of speech, or as it is
    recognised."""
    allowed_egress: list[str] = field(default_factory=list)
    """Names of egress tools that may run before the commit point."""
    max_writes_per_turn: int = number(12, 0)
    """Writes that may start in one turn."""
    max_writes_per_session: int = number(32, 0)
    """Beyond either, a write is refused until the user has spoken again."""
    max_errors_in_row: int = number(3, 1)
    """Invalid actions in a row after which an episode ends as failed."""
    max_context_tokens: int = number(4096, 1)
    """Context length, prompt included, at which an episode ends."""
    max_generated_tokens: int = number(1024, 1)
    """Tokens that the model may write in one turn."""
    prompt: str = one_of("short", "short", "full")
    """``short`` for trained models, ``full`` explains the protocol."""
    prompt_tools: str = one_of("short", "names", "short", "full")
    """What is said of each tool: ``names`` and types; ``short``, its first sentence and the limits of its parameters
    too; ``full``."""
    max_result_chars: int = number(4000, 1)
    """How much of a result or an error the model is shown, head and tail; ``$n`` carries all of it."""


@dataclass
class ParaphraseConfig:
    """An OpenAI-compatible endpoint that rewords the wordings of source assistant; never required."""

    url: str = ""
    """Its base, such as ``http://localhost:8000/v1``; empty for none."""
    model: str = ""
    """What the endpoint calls its model."""
    key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the key, if one is needed."""
    cache: str = "outputs/paraphrases.jsonl"
    """File of all answers: with it the same data can be made again."""
    timeout_s: float = number(30.0, above=0)
    """Seconds to wait for an answer."""


_LATER = ("eager_listening", "whole")
"""Switches of ``agent`` that came after data and results had been made: a recipe counts them where they are set."""


def counted(agent: AgentConfig) -> dict[str, Any]:
    """What a recipe counts of group ``agent``: what was made before a setting came, or went, is known again."""
    return {name: value for name, value in asdict(agent).items() if value or name not in _LATER} | GONE


@dataclass
class EndpointConfig:
    """What decides that the user has finished speaking."""

    delay_s: float = number(0.5, 0)
    """Silence after which it decides: the final update comes this long after the last word."""
    false_rate: float = number(0.0, 0, 1)
    """Share of the pauses as long as that which it takes for the end: 1 for a plain timer, 0 for an oracle."""
    predict_delay_s: float | None = number(None, 0)
    """Silence after which it predicts the end, for the mode that begins on it; None for no predictions."""
    predict_false_rate: float = number(1.0, 0, 1)
    """Share of the pauses as long as that which it takes for a likely end, where the last word leaves nothing
    hanging."""


@dataclass
class DataConfig:
    """Which tasks, how they are spoken, and how trajectories are made of them."""

    source: str = "bfcl"
    """Where tasks come from: one of the files of group data, or ``debug``."""
    categories: list[str] = field(default_factory=list)
    """Parts of the source to use; empty for its default."""
    sizes: dict[str, int] = number(
        {"train": 400, "validation": 50, "test": 100}, 0, keys=("train", "validation", "test")
    )
    """Trajectories a split; tasks are repeated with other speakers and devices where there are fewer."""
    modes: list[str] = several("speculative", "parallel", "sequential")
    """Modes that the expert plays, in turn."""
    thoughts: str = one_of("slots", "slots", "none")
    """What the expert thinks before it acts: ``slots``, what has changed since it last wrote; ``none``, nothing."""
    answers: str = one_of("sentence", "sentence", "short")
    """What the expert says where no answer is asked for: ``sentence`` tells what was done or found, ``short`` says
    "Done."."""
    eagerness: float = number(0.0, 0, 1)
    """Probability that the expert takes a value before a word closes it: a name ("Sam" of "Sam Ortiz"), or a text to
    look up by."""
    patience: str = one_of("costly", "none", "costly", "all")
    """Which reads the expert starts only when the clause that asks for them is closed, for an optional argument may
    follow: those of tools that say they are ``costly``, ``all``, or ``none``."""
    times: str = one_of("said", "said", "canonical")
    """What gold calls of the assistant's sources give for times, lengths and priorities: ``said``, the user's words, or
    ``canonical``, TinyAgent's ``YYYY-MM-DD HH:MM:SS`` and numbers. Both are accepted."""
    language: str = one_of("en", "en", "fi", "zh-CN")
    """What is spoken, of source home: ``en``, ``fi`` or ``zh-CN``; the others are English."""
    tools: str = one_of("all", "all", "drawn", "renamed")
    """Which tools a prompt of training and validation lists: ``all`` of the source's; ``drawn``, in any order, some
    left out, strangers beside them; or ``renamed``, drawn and under other names (not BFCL's, whose checker knows
    names). Tests list all, as they are."""
    intents: list[float] = field(default_factory=list)
    """Shares of requests of one, two, … intents in ``assistant``'s training split; empty: 0.3, 0.3, 0.2, 0.12, 0.08, as
    elsewhere."""
    disfluency: dict[str, float] = field(default_factory=dict)
    """Changes to `data_gen.speech.disfluency.Rates` by name, and ``times`` for all of them; generated sources only."""
    period_s: float = number(0.48, above=0)
    """Time between the recogniser's updates."""
    lag_s: float = number(0.2, 0)
    """How long after its end a word is recognised, at least."""
    lag_spread_s: float = number(0.0, 0)
    """Mean of what comes on top of that, for each word by itself."""
    endpoint: str = "oracle"
    """Which of ``endpoints`` says when speech is over; every file of group data takes one that can be wrong."""
    endpoints: dict[str, EndpointConfig] = field(default_factory=lambda: {"oracle": EndpointConfig()})
    """By name; ``configs/data/recogniser.yaml`` has the rows, docs/speech.md their sources."""
    revision_rate: float = number(0.0, 0, 1)
    """Share of partial updates whose last words are taken back by the next."""
    revision_words: int = number(1, 1)
    """The most words that are taken back at once."""
    closing_marks: bool = True
    """Whether punctuation at the end of an update is kept, which tells where speech ends."""
    workers: int = number(1, 1)
    """Processes that make data, check it, or share the points of a map; the results are the same for any number."""
    shard_rows: int = number(500, 1)
    """Trajectories in a file."""
    files: dict[str, str] = keyed("hotpotqa", "corpus")
    """Local files of the source that reads some."""
    paraphrase: ParaphraseConfig = field(default_factory=ParaphraseConfig)
    """Who rewords the wordings of source assistant, if anybody does."""


@dataclass
class TrainConfig:
    """How a model is fine-tuned."""

    data: list[str] = field(default_factory=list)
    """Folders of trajectories."""
    weights: list[float] = field(default_factory=list)
    """Mixing weights of the folders; empty for in proportion to their rows."""
    method: str = one_of("lora", "lora", "qlora", "full")
    """``lora``, ``qlora`` or ``full``."""
    lora_rank: int = number(32, 1)
    """Rank of each adapter matrix."""
    lora_alpha: int = number(64, 1)
    """Scale of the adapters: their product is multiplied by ``lora_alpha / lora_rank``."""
    lora_targets: list[str] = field(
        default_factory=lambda: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    )
    """Modules that get an adapter, by the end of their names."""
    learning_rate: float = number(1e-3, above=0)
    """Its peak, after the warm-up."""
    schedule: str = "cosine"
    """How the learning rate goes on from its peak: a name of `transformers.SchedulerType`."""
    warmup_ratio: float = number(0.05, 0, 1)
    """Share of the steps in which the learning rate rises from 0 to its peak."""
    weight_decay: float = number(0.0, 0)
    """AdamW's."""
    max_grad_norm: float = number(1.0, 0)
    """The gradient's norm is cut to this; 0 for no cut."""
    epochs: float = number(1.0, above=0)
    """Passes over the data."""
    max_tokens: int = number(0, 0)
    """Stop after this many tokens, prompt included; 0 for no limit."""
    max_steps: int = number(0, 0)
    """Stop after this many steps; 0 for no limit."""
    batch_rows: int = number(8, 1)
    """Global batch, in rows or packed rows."""
    micro_batch_rows: int = number(1, 1)
    """Rows that one device takes at once; gradients are accumulated up to ``batch_rows``."""
    max_length: int = number(2048, 1)
    """Most ids of a row, and so of a trajectory."""
    too_long: str = one_of("drop", "drop", "cut")
    """``drop`` (counted) or ``cut`` at a segment boundary."""
    packing: bool = True
    """Whether several trajectories share a row, each blind to the others."""
    supervise_cut_spans: bool = True
    """Whether the loss counts what the model wrote before it was cut."""
    idle_pauses: float = number(1.0, 0, 1)
    """Share of the bare pauses that the loss counts."""
    loss: str = one_of("chunked", "chunked", "full")
    """``chunked`` builds logits for supervised positions only; ``full`` is the model's own."""
    attention: str = one_of("auto", "auto", "flash", "blocks")
    """``flash`` (on a CUDA GPU: flash-attn, or the copy of it in torch), ``blocks`` (anywhere), or ``auto``: flash
    where it can be had."""
    kernels: str = one_of("auto", "auto", "liger", "fused", "torch")
    """``liger`` (its norm, gated MLP and rotary embedding, on a CUDA GPU), ``fused`` (LoRA layers, on a CPU),
    ``torch``, or ``auto``: the first of these that can be had."""
    share_prompts: bool = True
    """Whether trajectories of a micro-batch that begin with the same prompt compute it once; gradients are the same."""
    train_new_tokens: bool = True
    """Whether the rows of added tags and clock stamps are trained along with LoRA."""
    log_every_steps: int = number(0, 0)
    """0 for about fifty lines a run."""
    mfu: float = number(0.4, 0, 1)
    """Share of the device's peak that `training.plan` reckons with."""
    device_tflops: float = number(989.0, above=0)
    """Peak of one device in bfloat16, in 10¹² operations a second: an H100's."""
    gradient_checkpointing: bool = False
    """Whether activations are computed again in the backward pass: less memory, about a third more time."""
    checkpoint_every_s: float = number(600.0, 0)
    """Seconds between checkpoints; 0 for none by time."""
    checkpoint_every_steps: int = number(0, 0)
    """Steps between checkpoints; 0 for none by steps."""
    resume: bool = True
    """Whether a run goes on from the last checkpoint in its folder; else it begins anew, and those are deleted."""
    wandb: str = one_of("disabled", "disabled", "offline", "online")
    """``disabled``, ``offline`` or ``online``."""
    callback: dict[str, Any] = field(default_factory=dict)
    """``_target_`` of a validation callback; it lives in `eval`."""
    validate_every_steps: int = number(0, 0)
    """Steps between validations by ``callback``; 0 for one at the end."""


@dataclass
class RepairConfig:
    """How a model's own rollouts become data."""

    rollouts: int = number(2000, 1)
    """Episodes that the model plays, on tasks of the split for training."""
    round: int = number(1, 0)
    """Other rounds have other tasks, devices and draws."""
    rows: int = number(2, 1)
    """Most trajectories that are made of one rollout, each with the expert taking over at another moment."""
    beta: float = number(0.25, 0, 1)
    """Probability that the expert writes in a state of the rollout, so that a weak model gets anywhere."""
    most_mistakes: int = number(4, 0)
    """Disagreements after which the expert finishes a rollout; 0 for none."""
    agreeing: float = number(0.25, 0, 1)
    """Share of the model's actions that are the expert's own, word for word, that the loss counts."""
    temperature: float = number(0.7, 0)
    """Of the model's sampling; 0 takes the likeliest token."""
    constrained: bool = True
    """Whether the model writes by the protocol's grammar."""
    grounded: bool = False
    """Whether, by that grammar, texts in calls are made of words that the user said."""
    batch: int = number(32, 1)
    """Episodes of a process at once."""
    shard_rollouts: int = number(256, 1)
    """Rollouts a file: what one process does between two files."""
    workers: int = number(1, 1)
    """Processes, each with the model of its own; several share one accelerator."""


@dataclass
class RealtimeConfig:
    """Where backend ``realtime`` finds the OpenAI Realtime API, or who else speaks it."""

    url: str = ""
    """Its base, such as ``http://127.0.0.1:8765/v1`` for ``python -m scripts.loopback``; empty for OpenAI's."""
    model: str = "gpt-realtime-2"
    """What the service calls the model."""
    key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the key."""


@dataclass
class VllmConfig:
    """Where ``eval.runtime=vllm`` finds the server. Its key, if it wants one, is in the environment:
    ``VLLM_API_KEY``."""

    url: str = "http://127.0.0.1:8000/v1"
    """The server's base."""
    model: str = ""
    """What it calls the checkpoint; empty for the name of the checkpoint's folder, or of the model where there is
    none."""


@dataclass
class EvalConfig:
    """What is replayed and how it is reported."""

    backends: list[str] = several("expert")
    """``expert``, ``no_thoughts``, ``no_guess``, ``model`` (as in group model), ``untrained`` (it without adapter),
    ``realtime`` (below), and `checkpoints`."""
    realtime: RealtimeConfig = field(default_factory=RealtimeConfig)
    """Where backend ``realtime`` is."""
    checkpoints: dict[str, str] = field(default_factory=dict)
    """Checkpoints of the model in group model by names of their own, to be compared:
    ``{baseline: FOLDER, async: FOLDER}``."""
    modes: list[str] = several("sequential", "parallel", "eager_end", "speculative")
    """Rows of settings that are replayed: names of `midsentence.core.modes.MODES`."""
    sources: list[str] = field(default_factory=list)
    """Task sources, each with the settings of its own file in group data; empty for the one source that is
    configured."""
    profiles: list[str] = several("laptop")
    """Devices: names of ``clock.profiles``."""
    split: str = one_of("test", "train", "validation", "test", "all")
    """``train``, ``validation``, ``test``, or ``all``: every split for whoever was not trained, test for
    checkpoints."""
    tasks: int = number(0, 0)
    """Most tasks a row for a model; 0 for all."""
    expert_tasks: int = number(0, 0)
    """Most tasks a row for the expert; 0 for all."""
    batch: int = number(8, 1)
    """Episodes of a model at once; it changes no result in float32."""
    seeds: list[int] = several(0, least=0)
    """One replay of every row for each: other cuts of the recogniser, and other samples."""
    temperature: float = number(0.0, 0)
    """Of a model's sampling; 0 takes the likeliest token."""
    constrained: bool = False
    """Whether a model writes by the protocol's grammar."""
    grounded: bool = False
    """Whether, by that grammar, texts in calls are made of words that the user said."""
    runtime: str = one_of("transformers", "transformers", "llamacpp", "vllm")
    """What runs a checkpoint: ``transformers``; ``llamacpp``, with the GGUF file that `training.export` wrote into it;
    or ``vllm``, a server that has it (below)."""
    vllm: VllmConfig = field(default_factory=VllmConfig)
    """The server of ``runtime=vllm``."""
    cap_s: float = number(30.0, above=0)
    """Latency that an episode without an answer carries, from the end of speech; no episode carries more."""
    resamples: int = number(10000, 1)
    """Of the bootstrap that gives intervals."""
    margin: float = number(0.02, 0, 1)
    """Loss of accuracy, as a share of tasks, within which a mode may be called non-inferior to a baseline."""
    price_input: float = number(0.0, 0)
    """Price of a million tokens that are taken in, each once (the context is kept); 0 for no cost in the report."""
    price_output: float = number(0.0, 0)
    """Price of a million tokens that are written."""
    price_call: float = number(0.0, 0)
    """Price of a thousand starts of tools."""
    paper: bool = False
    """Whether the report puts the figures that others published beside ours."""


@dataclass
class Config:
    """All settings of a run. Every command reads the same tree, and its own part of it."""

    name: str = "default"
    """Names the run's folder; an experiment file sets it."""
    seed: int = number(0, 0, 2**32 - 1)
    """Root of everything that is drawn; each draw's own seed is a hash of it and of what is drawn."""
    out: str = ""
    """Folder of the results; empty for ``outputs/<command>/<name>``."""
    path: str = ""
    """Folder that `show`, `check`, `export`, `push` and `chrome_trace` read; of `export`, also the name of an adapter
    that comes with the code (``smollm2-midsentence``)."""
    row: int = number(0, 0)
    """Which trajectory or episode of ``path`` is shown, from 0."""
    trust: bool = False
    """Whether the settings in a folder that is read may name Python, a service and the environment: on the command line
    only."""
    runs: list[str] = field(default_factory=list)
    """Folders of replays that `eval.report` reads."""
    task: str = ""
    """Task source of a replay; empty for that of group data."""
    task_id: str = ""
    """The one task that `eval.saving` prints and `eval.timeline` draws; empty for the worst ten, and for a typical
    one."""
    tools: str = ""
    """Tools file of source jsonl, or ``assistant``."""
    requests: str = ""
    """Requests file of source jsonl."""
    time: str = one_of("virtual", "virtual", "real")
    """``virtual`` or ``real``."""
    json: bool = False
    """Whether `training.plan` prints JSON in the place of text."""
    gguf: bool = False
    """Whether `training.export` writes a GGUF file too, for llama.cpp."""
    gguf_q8: bool = False
    """Whether its matrices are rounded to 8 bits: faster, and now and then another token."""
    hub: str = ""
    """Where `training.push` sends what is in ``path``: ``OWNER/NAME``."""
    private: bool = True
    """Whether a repository that it makes is seen by its owner alone."""
    launcher: str = one_of("single", "single", "ddp", "fsdp2", "zero3")
    """What `training.plan` reckons with: a name of ``configs/accelerate``."""
    gpus: int = number(1, 1)
    """Devices that `training.plan` reckons with."""
    max_tokens: int = number(0, 0)
    """Short for ``train.max_tokens``."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Group model."""
    data: DataConfig = field(default_factory=DataConfig)
    """Group data."""
    clock: ClockConfig = field(default_factory=ClockConfig)
    """Group clock."""
    agent: AgentConfig = field(default_factory=AgentConfig)
    """Group agent."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """Group train."""
    eval: EvalConfig = field(default_factory=EvalConfig)
    """Group eval."""
    repair: RepairConfig = field(default_factory=RepairConfig)
    """Group repair."""


def register() -> None:
    """Makes the types known to Hydra. Calling it twice is harmless."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for group, node in (
        ("model", ModelConfig),
        ("data", DataConfig),
        ("clock", ClockConfig),
        ("agent", AgentConfig),
        ("train", TrainConfig),
        ("eval", EvalConfig),
        ("repair", RepairConfig),
    ):
        store.store(group=group, name="schema", node=node)
