"""The rounds of a search: what it trains, learns, says and goes on with after a stop."""

from dataclasses import asdict

import pytest
from quick_search import PPO, RANDOM, Clock, KilledError, QuickExecutor, search

from mmdet_alrp.command_line import UsageError
from mmdet_alrp.segmentation.search.progress import Progress, duration
from mmdet_alrp.segmentation.search.records import SampleRecord, read_record


def without_time(record):
    return {key: value for key, value in asdict(record).items() if key != 'seconds'}


def test_every_sample_is_trained_once_and_recorded_in_its_place(tmp_path):
    executor = QuickExecutor()
    record, _ = search(tmp_path, executor)
    assert len(executor.trained) == 12 == len(set(executor.trained))
    for index, place, sample in executor.trained:
        entry = record.rounds[index].samples[place]
        assert entry.sample == sample
        assert entry.reward == pytest.approx(1 - sum(sample) / 12)
        assert entry.metrics == {'mIoU': entry.reward}


def test_policy_learns_and_the_best_mean_wins(tmp_path):
    record, _ = search(tmp_path, rounds=6, algorithm={**PPO, 'samples': 16, 'updates': 20})
    means = [entry.mean_reward for entry in record.rounds]
    assert means[-1] > means[0] + 0.1
    best = means.index(max(means))
    assert record.winner.round == best
    assert record.winner.sample == record.rounds[best].mean
    assert record.winner.reward == pytest.approx(max(means))


def test_random_search_takes_the_best_sample(tmp_path):
    record, _ = search(tmp_path, algorithm=RANDOM)
    samples = [entry for part in record.rounds for entry in part.samples]
    best = max(samples, key=lambda entry: entry.reward)
    assert record.winner.sample == best.sample and record.winner.reward == best.reward
    assert best in record.rounds[record.winner.round].samples
    assert all(part.mean is None for part in record.rounds)


def test_failures_count_as_0_and_the_search_goes_on(tmp_path):
    failing = {(0, 1), (2, 3)}
    record, lines = search(tmp_path, QuickExecutor(frozenset(failing)))
    found = {(r, i) for r, i, entry in record.samples if entry.failed}
    assert found == failing and len(record.samples) == 12
    entry = record.rounds[0].samples[1]
    assert entry.score == 0 and entry.reward is None and 'nan' in entry.failure
    others = [sample.reward for sample in record.rounds[0].samples if not sample.failed]
    assert record.rounds[0].mean_reward == pytest.approx(sum(others) / 4)
    assert sum('FAILED, counts as 0: NotFiniteError: loss is nan' in line for line in lines) == 2
    assert '3 samples' not in lines[4] and lines[4].endswith('of 4 samples, 1 failed')


def test_policy_learns_from_failures(tmp_path):
    whole, _ = search(tmp_path / 'whole', rounds=2)
    failed, _ = search(tmp_path / 'failed', QuickExecutor(frozenset({(0, 1)})), rounds=2)
    assert whole.rounds[0].samples[1].sample == failed.rounds[0].samples[1].sample
    assert whole.rounds[1].mean != failed.rounds[1].mean


def test_round_of_failures_ends_the_search_in_one_line(tmp_path):
    executor = QuickExecutor(frozenset((1, place) for place in range(4)))
    with pytest.raises(UsageError, match=r'^all 4 samples of round 2 failed.*nan.*--resume$'):
        search(tmp_path, executor)
    assert len(executor.trained) == 8
    # the cause is gone: the round is tried again, with the same samples
    record, _ = search(tmp_path, again := QuickExecutor(), read_record(tmp_path))
    assert [task[0] for task in again.trained] == [1] * 4 + [2] * 4
    assert set(again.trained[:4]) == set(executor.trained[4:])
    assert without_time(record) == without_time(search(tmp_path / 'straight')[0])


@pytest.mark.parametrize('algorithm', [PPO, {**PPO, 'baseline': 'centre'}, RANDOM])
@pytest.mark.parametrize('dies_after', [0, 1, 4, 6, 11])
def test_killed_search_goes_on_as_if_nothing_had_been(tmp_path, dies_after, algorithm):
    straight, _ = search(tmp_path / 'straight', algorithm=algorithm)
    folder = tmp_path / 'killed'
    with pytest.raises(KilledError):
        search(folder, killed := QuickExecutor(dies_after=dies_after), algorithm=algorithm)
    resumed = QuickExecutor()
    record, lines = search(folder, resumed, read_record(folder))
    assert not set(killed.trained) & set(resumed.trained)
    assert len(killed.trained) + len(resumed.trained) == len(straight.samples)
    assert without_time(record) == without_time(straight)
    assert without_time(read_record(folder)) == without_time(straight)
    assert f'[{dies_after + 1}/{len(straight.samples)} done' in lines[0]


def test_killed_twice(tmp_path):
    with pytest.raises(KilledError):
        search(tmp_path, QuickExecutor(dies_after=2))
    with pytest.raises(KilledError):
        search(tmp_path, QuickExecutor(dies_after=5), read_record(tmp_path))
    record, _ = search(tmp_path, last := QuickExecutor(), read_record(tmp_path))
    assert len(last.trained) == 12 - 7
    assert without_time(record) == without_time(search(tmp_path / 'straight')[0])


def test_finished_search_trains_nothing_when_resumed_and_goes_on_for_more_rounds(tmp_path):
    before, _ = search(tmp_path, rounds=2)
    record, lines = search(tmp_path, executor := QuickExecutor(), read_record(tmp_path))
    assert executor.trained == [] and lines == [] and without_time(record) == without_time(before)
    record.settings['rounds'] = 3
    longer, _ = search(tmp_path, executor, record)
    assert len(executor.trained) == 4
    assert without_time(longer) == without_time(search(tmp_path / 'straight', rounds=3)[0])


def test_record_of_other_samples_is_refused(tmp_path):
    search(tmp_path, rounds=2)
    record = read_record(tmp_path)
    first = record.rounds[1].samples[0]
    record.rounds[1].samples[0] = SampleRecord((0.5, *first.sample[1:]), True, 0.5)
    with pytest.raises(UsageError, match=r'^--resume: round 2 of the record holds other samples'):
        search(tmp_path, QuickExecutor(), record)


def test_record_is_whole_after_every_sample_and_round(tmp_path):
    seen = []

    class Looking(QuickExecutor):
        def run(self, tasks):
            for result in super().run(tasks):
                seen.append(len(read_record(tmp_path).samples))
                yield result

    winners = []
    search(tmp_path, Looking(), after_round=lambda record: winners.append(record.winner.round))
    assert seen == list(range(12))
    assert len(winners) == 3 and winners[0] == 0


def test_progress_says_what_is_done_and_left():
    lines, clock = [], Clock()
    progress = Progress(48, 8, 6, 'BF1', lines.append, clock)
    assert progress.remaining == 0
    clock.now = 100.0  # the next look is 100 s after the start
    progress.sample(1, 0, SampleRecord((0.5,), True, 0.25, {}, 49.96))
    assert lines == ['round 2/6  sample 1  BF1 0.2500  50.0 s  [9/48 done, 1:05:00 left]']
    clock.now = 160.0  # two in 160 s
    assert progress.done == 9
    progress.sample(1, 1, SampleRecord((0.5,), True, 0.5, {}, 1.0))
    assert '[10/48 done, 0:50:40 left]' in lines[1]


def test_duration():
    assert duration(0.4) == '0:00:00' and duration(3661) == '1:01:01'
