// What the verbs share: options every verb takes, data and models from a configuration, checkpoints, and the console.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/verb.h"
#include "engine/base/context.h"
#include "engine/base/json.h"
#include "engine/data/dataset.h"
#include "engine/nn/params.h"
#include "engine/train/config.h"
#include "models/zoo.h"

namespace graft::cli {

struct Common {
  std::string device = "auto", memory, kernel, out;
  int threads = 0;
  bool json = false, quiet = false, dry_run = false;
  std::vector<std::string> files;  // --config
  std::optional<std::int64_t> seed;
  std::vector<std::string> words;  // positionals: a recipe or file, key=value
};
// --threads and --seed, wherever they are taken: a number out of range is refused and not brought into it.
void add_threads(const Verb& app, int& threads, const std::string& text);
void add_seed(const Verb& app, std::optional<std::int64_t>& seed, const std::string& text);
void add_execution(const Verb& app, Common& c);  // the options that change how something runs and not what comes out
void add_common(const Verb& app, Common& c);     // these, and words, --config, --seed and --out
void add_dry_run(const Verb& app, Common& c);    // for verbs that take long or write: all is checked, and the plan told
// What such a verb does with --dry-run in the end: `plan` as JSON, or as the line `text`. Returns 0.
int tell_plan(const Common& c, const char* verb, Json plan, const std::string& text);

// The queue, memory limit and forced kernels that the options ask for, for the life of the object.
class Session {
 public:
  explicit Session(const Common& c);
  ~Session();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// `words`: an optional recipe or FILE.toml first, then key=value. Error(usage) otherwise.
// `from`: init.from, as the flag --from.
Config make_config(const Common& c, std::vector<std::string> words, bool recipe_wanted, const std::string& from = {});

// Error(usage) for a setting of the call that `verb`, which does not train, has not asked for.
void refuse_unused(const Config& c, const std::string& verb);

struct Data {
  Dataset train, validation, test;  // empty where not wanted or not there
};
struct Wanted {
  bool train = true, test = false;
  std::vector<std::string> classes = {};  // as a checkpoint numbers them; empty: as the files do
};
Data load_data(const Config& c, const Wanted& wanted);  // what folders and archives leave out is said on stderr
// Error(input) where there is none, with `otherwise` at its end: how to do without. Opens nothing.
void want_test_part(const Config& c, const std::string& otherwise);
// What the configuration leaves to the data, measured on them: model.classes, data.normalize. A checkpoint then says how its model wants to
// be fed.
Config settled(Config c, const Dataset& data);

// Model and parameters, from scratch or from init.from; `account` gets a line per tensor of an import.
struct Built {
  Params params;
  Model model;
  std::vector<std::pair<std::string, std::string>> account;
  std::vector<std::string> class_names;  // of the outputs, in their order
  Shape input = {};                      // [c, h, w] of one image
  struct Origin {
    std::string path, format, map, stripped;
  };
  Origin origin = {};                      // of an import
  std::vector<std::string> warnings = {};  // of an import: said, and no reason to stop
};
// `over`: tensors that count before those of init.from, by name (of a run with adapters that goes on).
Built build_model(const Config& c, const Dataset& data, const std::vector<std::pair<std::string, Tensor>>& over = {});
// Where there are no data: `input` is [c, h, w] of an image; `class_names` may be empty.
Built build_model(const Config& c, const Shape& input, const std::vector<std::string>& class_names,
                  const std::vector<std::pair<std::string, Tensor>>& over = {});

// A checkpoint folder holds model.safetensors, whose metadata carry the configuration.
void save_checkpoint(const std::string& folder, const Built& built, const Config& config, std::int64_t step);
// Of model.safetensors: the configuration and the names of the classes.
std::map<std::string, std::string> checkpoint_metadata(const Built& built, const Config& config, std::int64_t step);
// The configuration that a checkpoint carries, or the recipe of the network that it is recognised as (weights/maps). Error(input) where
// neither is known.
Config config_of_checkpoint(const std::string& path);
// The same without what belongs to the file that training began from (init.map, init.adapter, init.optimizer): the checkpoint has the
// model's names and its adapter already. For all that loads the checkpoint itself.
Config without_origin(Config config);
std::vector<std::string> classes_of_checkpoint(const std::string& path);  // empty where it does not say
Shape input_of_checkpoint(const std::string& path,
                          const Config& config);  // [c, h, w]: what it says, else what its model is usually made for
// The model's tensors on the host, as a plain checkpoint has them: adapters are added to their weights.
std::vector<std::pair<std::string, Tensor>> named_tensors(const Params& p);

std::string& command_line();                        // as it was typed, set by main
void print_json(const Json& j);                     // on stdout, with a newline
std::string shell_quoted(const std::string& word);  // as it must be typed: in quotes where a shell would read it otherwise
// What the environment asks for is right: GRAFT_KERNELS names kernels that there are. Error(usage).
void check_environment();
// What --max-time asks for in seconds, 0 where it is empty. Error(usage) for what is no time, and for none at all.
double seconds_of(const std::string& max_time);
std::int64_t peak_rss_bytes();
bool interrupted();  // INT or TERM came; a second one ends the program
int interrupt_signal();
bool checkpoint_asked();  // USR1 came since it was last asked
void watch_usr1();        // from now on USR1 asks for a checkpoint: before there is one to write too, it is then the first
void watch_signals();     // USR1, INT and TERM; PIPE is ignored: whoever stops reading the progress does not end the work
// What `verb` returns, or 128 + the signal where it threw Error(stopped) for one; the error is then the line that says so.
int unless_stopped(const std::function<int()>& verb);

// The verbs. Each adds itself to the program.
void add_train(const Verb& app);
void add_compare(const Verb& app);
void add_advise(const Verb& app);
void add_tune(const Verb& app);
void add_eval(const Verb& app);
void add_config(const Verb& app);
void add_kernels(const Verb& app);
void add_lab(const Verb& kernels);  // kernels bench, compare, try
void add_doctor(const Verb& app);
void add_demo(const Verb& app);
void add_data(const Verb& app);     // data check, split, preview
void add_inspect(const Verb& app);  // inspect, diff
void add_convert(const Verb& app);  // convert, export
void add_import(const Verb& app);
void add_gradcheck(const Verb& app);

}  // namespace graft::cli
