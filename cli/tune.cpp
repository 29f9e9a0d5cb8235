// graft tune RECIPE --search KEY=RANGE ...: which values of the configuration score best on held-out images, and is that more than the luck
// of a seed?
#include "cli/tune.h"

namespace graft::cli {

void add_tune(const Verb& app) {
  const Verb sub =
      app.verb("tune", "search configuration keys by validation accuracy; the winner's gain is measured against the noise of the seed");
  auto c = std::make_shared<Common>();
  auto o = std::make_shared<TuneOptions>();
  add_common(sub, *c);
  add_dry_run(sub, *c);
  sub.option("--search", o->search, "KEY=uniform(LO,HI), log(LO,HI), int(LO,HI), logint(LO,HI) or choice(A,B,...); may come several times")
      .repeated();
  sub.option("--method", o->method, "lr (learning-rate range test, without --search), random, asha or tpe (default)");
  sub.option("--trials", o->trials, "configurations to try (default 20)");
  sub.option("--budget", o->budget, "steps of a trial, such as 300 or 300st (default train.steps, else 300); asha: of its last rung");
  sub.option("--eta", o->eta, "asha: one in so many goes on, with so many times the steps (default 3)");
  sub.option("--least", o->least, "asha: steps of the first rung, at least (default: two rungs below the budget)");
  sub.option("--seeds-noise", o->seeds, "seeds with which the default and the winner are trained in the end (default 3)");
  sub.flag("--test", o->test, "look at the test images once, at the end, with the winner");
  sub.option("--resume", o->resume, "go on with the study in this folder, or help the process that works on it");
  sub.option("--max-time", o->max_time, "stop after so much time, such as 30m; exit code 75, and --resume goes on");
  // Held by name: the options are written into them, also where nothing below reads them.
  sub.does([c, o]() -> int {
#ifdef GRAFT_HAVE_SQLITE
    return tune_verb(*c, *o);
#else
    static_cast<void>(c), static_cast<void>(o);
    throw Error(
        Code::usage,
        "tune: this graft was built without SQLite, in which a study is kept; install libsqlite3-dev and build with -DGRAFT_SQLITE=ON");
#endif
  });
}

}  // namespace graft::cli
