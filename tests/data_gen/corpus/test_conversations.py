"""Conversations of the corpus: all are read, each is of one split, and what is held out stays so."""

from data_gen.tasks import corpus

FOLDERS = (corpus.ASSISTANT, *corpus.domains())


def test_every_conversation_is_read_and_ids_are_their_own():
    counts = {split: len(corpus.tasks(FOLDERS, split, turns=True)) for split in ("train", "validation", "test")}
    assert counts == {"train": 193, "validation": 40, "test": 100}
    assert corpus.rejected(FOLDERS, turns=True) == ()
    tasks = [task for split in counts for task in corpus.tasks(FOLDERS, split, turns=True)]
    assert len({task.id for task in tasks}) == len(tasks) and all(len(task.turns) >= 2 for task in tasks)
    assert len({task.request for task in tasks}) == len(tasks)
    assert {task.source for task in tasks} == {corpus.CONVERSATIONS}


def test_domains_that_are_held_out_are_in_test_alone():
    for name in filter(corpus.is_held_out, corpus.domains()):
        assert not corpus.files(name, "train", True) and not corpus.files(name, "validation", True)
        assert all("unseen" in task.tags for task in corpus.tasks((name,), "test", turns=True))


def test_requests_of_one_turn_are_as_many_as_they_were():
    assert not any(task.turns for task in corpus.tasks(FOLDERS, "validation"))
