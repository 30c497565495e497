"""FNAS as a durable coroutine: learn, draw, train what cannot be trusted, and so on (figure 1).

An iteration is one computation of the agent, which learns from the last batch and draws the next, and the trainings of
that batch. Everything random comes from `run.rng`, and nothing depends on which training ends first.
"""

from __future__ import annotations

from typing import Any

from store.experience import Experience, ExperienceBuffer, annealed
from store.records.candidates import Architecture
from store.records.results import Individual, Result
from strategies.fnas.agent import Agent, Drawn, Lesson
from strategies.fnas.batch import Sample, doubtful_above, drawn, exploited, lesson, parts
from strategies.fnas.ledger import Iteration, Ledger
from strategies.fnas.networks import SAMPLED, Networks, Wanted
from strategies.fnas.notes import notes
from strategies.fnas.options import FNASOptions
from strategies.individuals import NONE_TRAINED
from strategies.pool import Pool
from strategies.run import Run
from strategies.under_way import due


class FNAS:
    """A policy that learns by reinforcement which tokens make good networks, with FNAS's three modules or without."""

    def __init__(self, options: FNASOptions) -> None:
        self.options = options

    async def search(self, run: Run) -> Result:
        """Runs the search; a larger `samples` goes on where a smaller one ended.

        Raises:
            RequestFailed: if the agent's computation fails, or, with the pool, the measure of a network.
        """
        course = Course(run, self.options)
        await course.begin()
        while course.iteration < self.options.iterations:
            await course.iterate()
        return await course.finish()


class Course:
    """A search under way.

    Attributes:
        iteration: iterations done.
    """

    def __init__(self, run: Run, options: FNASOptions) -> None:
        self._run, self._options, self.iteration = run, options, 0
        self._agent, self._buffer, self._ledger = Agent(run, options), ExperienceBuffer(options.buffer_size), Ledger()
        self._pool = _pool(run, options) if options.knowledge_pool else None
        self._networks = Networks(run, options, self._pool)
        self._lesson: Lesson | None = None

    async def begin(self) -> None:
        """Goes on from the saved state; a new search opens the pool, and fills it if no other search does."""
        if self._run.restored is not None:
            self._restore(self._run.restored)
        elif self._pool is not None:
            self._run.progress(0, self._whole, "opening the knowledge pool, and filling it if no other search did")
            await self._pool.open(self._networks.candidate(self._run.space.random(self._run.rng)))
            if not self._options.transfer.pool:
                await self._networks.warm_up(self._options.pool_warmup)
            await self._run.save(self._state)

    async def iterate(self) -> None:
        """Learns from the last batch, draws the next, and gets its rewards."""
        self._progress()
        options, beta = self._options, annealed(len(self._ledger), self._options.anneal_samples)
        composed = parts(options, len(self._buffer))
        replayed = self._buffer.draw(composed.exploited, beta, self._run.rng)
        answer = await self._agent.step(self._lesson, draw=composed.new, most_trusted=composed.most_trusted)
        if self._lesson is not None:
            self._ledger.learnt(answer.losses)
        self.iteration += 1
        before = self._pool.counts if self._pool else (0, 0, 0)
        samples = await self._rewarded(drawn(answer, critic=options.uncertainty_critic), answer.threshold)
        samples += exploited(replayed, self._networks.costs)
        self._ledger.add(self.iteration, samples, self._row(answer, before))
        self._lesson = lesson(samples)
        if due(self.iteration):
            await self._run.save(self._state)

    async def finish(self) -> Result:
        """Learns from the last batch, for whoever starts from what was learnt, and returns the result."""
        self._progress()
        self._run.epilogue(self._options.samples)  # with more samples, the same step would draw the next batch
        answer = await self._agent.step(self._lesson)
        self._ledger.learnt(answer.losses)
        curves: dict[str, Any] = self._ledger.curves()
        if self._pool is not None:
            curves["similarity_histogram"] = self._pool.histogram.tolist()
        best = self._best()
        why = () if best else (NONE_TRAINED,)
        return Result(
            best=best,
            history=tuple(self._networks.history),
            notes=(*why, *notes(self._options, self._networks, self._ledger, self._pool)),
            curves=curves,
            state=self._agent.state,
        )

    async def _rewarded(self, samples: list[Sample], threshold: float | None) -> list[Sample]:
        """Trains what is not trusted; returns the samples with their rewards, those of trainings kept in the buffer."""
        places = [place for place, one in enumerate(samples) if one.source == "trained"]
        excesses = self._ledger.excesses(self._options.trust_window)
        excess = doubtful_above(excesses, self._options.exact_quantile)
        doubtful = None if excess is None or threshold is None else threshold + excess
        wanted = [self._wanted(samples[place], doubtful) for place in places]
        numbers, new = await self._networks.train(wanted, self.iteration)
        for place, number in zip(places, numbers, strict=True):
            samples[place] = self._trained(samples[place], number, new=number in new)
            new.discard(number)
        return samples

    def _trained(self, sample: Sample, number: int, *, new: bool) -> Sample:
        """Returns a sample with the reward of its network; a failed one gets the failures' and is not replayed."""
        networks = self._networks
        reward, cost = networks.reward(number), networks.costs[number]
        if reward is None:
            return sample._replace(reward=self._options.failed_reward, individual=number, cost=cost)
        if self._options.experience_buffer:
            genes = tuple(sample.genes.tolist())
            self._buffer.add(Experience(genes, sample.log_probabilities, reward, number))
        accuracy = networks.history[number].accuracy
        return sample._replace(reward=reward, individual=number, cost=cost, accuracy=accuracy, new=new)

    def _wanted(self, sample: Sample, doubtful: float | None) -> Wanted:
        architecture = Architecture(space=self._run.space.spec.name, genes=tuple(sample.genes.tolist()))
        unsure = sample.uncertainty is not None and doubtful is not None and sample.uncertainty > doubtful
        return Wanted(architecture, unsure)

    def _row(self, answer: Drawn, before: tuple[int, int, int]) -> Iteration:
        asked, hits, matches = (
            now - then for now, then in zip(self._pool.counts if self._pool else (0, 0, 0), before, strict=True)
        )
        return Iteration(
            threshold=answer.threshold,
            discarded=answer.discarded,
            hit_ratio=hits / asked if asked else None,
            match_ratio=matches / asked if asked else None,
        )

    def _best(self) -> tuple[Individual, ...]:
        """Returns the networks with the highest rewards, the older one first in a tie.

        All were trained for as many epochs. Those that filled the pool count only where no sample was trained.
        """
        networks = self._networks
        rewards = {one.index: reward for one in networks.history if (reward := networks.reward(one.index)) is not None}
        sampled = [index for index in rewards if networks.history[index].origin == SAMPLED]
        order = sorted(sampled or rewards, key=lambda index: (-rewards[index], index))
        return tuple(networks.history[index] for index in order[: self._options.top])

    def _progress(self) -> None:
        done, sources = len(self._ledger), self._ledger.sources
        parts = ", ".join(f"{sources[source]} {source}" for source in ("trained", "trusted", "exploited"))
        label = f"iteration {self.iteration} of {self._options.iterations}: {parts}"
        self._run.progress(done, self._whole, label)

    @property
    def _whole(self) -> int:
        """Samples in all, in whole batches."""
        return self._options.iterations * self._options.batch

    def _state(self) -> dict[str, Any]:
        return {
            "iteration": self.iteration,
            "agent": self._agent.state,
            "lesson": None if self._lesson is None else vars(self._lesson),
            "buffer": self._buffer.state(),
            "networks": self._networks.state(),
            "ledger": self._ledger.state(),
            "pool": None if self._pool is None else self._pool.state(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.iteration = state["iteration"]
        if self.iteration:  # before, the agent's state is another search's, or none
            self._agent.restore(state["agent"])
            self._lesson = Lesson(**state["lesson"])
        self._buffer.restore(state["buffer"])
        self._networks.restore(state["networks"])
        self._ledger.restore(state["ledger"])
        if self._pool is not None:
            self._pool.restore(state["pool"])


def _pool(run: Run, options: FNASOptions) -> Pool:
    sources = options.transfer.pool
    return Pool(run, similarity=options.similarity, sources=sources, generations=options.generations)
