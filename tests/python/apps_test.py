# SPDX-License-Identifier: Apache-2.0
"""Applications and prewarming from Python."""

import math
import time

import support
from support import FOR_EVER, Rig, keys

import sluice
from sluice import EventKind, Status

MODELS = support.ROOT / "examples" / "apps"


class Apps(Rig):
    def rank_when(self, pipeline, app, reached):
        """Its rank, when reached(tier, rank) is true: ranks follow events by a moment."""
        end = time.monotonic() + FOR_EVER
        while not reached(*pipeline.app_rank(app)):
            self.assertLess(time.monotonic(), end)
        return pipeline.app_rank(app)

    def test_the_order_is_that_of_what_is_left(self):
        pipeline = self.pipeline(policy="gittins")
        for name in ("got_docmerge", "factool_math"):
            pipeline.load_model((MODELS / f"{name}.json").read_bytes())
        slow = pipeline.begin_app("got_docmerge")
        fast = pipeline.begin_app("factool_math", tenant=3)
        _, of_fast = self.rank_when(pipeline, fast, lambda tier, rank: math.isfinite(rank))
        tier, of_slow = self.rank_when(pipeline, slow, lambda tier, rank: math.isfinite(rank))
        self.assertEqual(tier, 1)
        self.assertLess(of_fast, of_slow)
        requests = [
            pipeline.submit([], 20, app=slow),
            pipeline.submit([], 20, app=fast),
            pipeline.submit([], 20, app=slow),
        ]
        self.events_of(pipeline, 3)
        self.assertEqual(
            pipeline.sort(requests), [requests[1], requests[0], requests[2]]
        )

    def test_events_count(self):
        pipeline = self.pipeline(policy="las", apps=sluice.AppOptions(decode_s=2, max_apps=1))
        app = pipeline.begin_app("mine")
        with self.raises(Status.RESOURCE_EXHAUSTED):
            pipeline.begin_app("mine")
        pipeline.begin_unit(app, "think", calls=2, prompt_tokens=0)
        pipeline.unit_progress(app, 0, 0, 3)
        self.rank_when(pipeline, app, lambda tier, rank: rank == 6)
        pipeline.end_unit(app, completion_tokens=10)
        self.rank_when(pipeline, app, lambda tier, rank: rank == 20)
        with self.raises(Status.FAILED_PRECONDITION):
            pipeline.end_unit(app)
        pipeline.end_app(app, complete=False)
        with self.raises(Status.NOT_FOUND):
            pipeline.app_rank(app)
        stats = pipeline.stats()
        self.assertEqual((stats.apps_begun, stats.apps_ended), (1, 1))
        self.assertEqual(stats.app_events_refused, 2)
        with self.raises(Status.INVALID_ARGUMENT):
            pipeline.load_model("{}")

    def test_blocks_are_brought_near(self):
        pipeline = self.pipeline()
        request = pipeline.submit(keys(0, 4), 0, prewarm=True)
        (event,) = self.events_of(pipeline, 1)
        self.assertEqual(
            (event.request, event.kind, event.blocks), (request, EventKind.READY, 4)
        )
        self.stats_once(pipeline, lambda s: s.prewarm_requests == 1 and s.live_requests == 0)
        self.submit(pipeline, 0, 4)
        self.events_of(pipeline, 1)
        self.stats_once(pipeline, lambda s: s.l1_hits == 4)


if __name__ == "__main__":
    support.main()
