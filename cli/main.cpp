// graft: one binary, one verb per file. Errors become one line on stderr and an exit code here and nowhere else.
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <new>
#include <system_error>

#include "cli/common.h"
#include "cli/console.h"
#include "engine/base/text.h"

namespace {

// A stream that was closed before the program began gives its number to the next file that is opened, and what is said there would be
// written into that.
void hold_streams() {
  int fd = 0;
  do fd = ::open("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= 2);
  if (fd > 2) ::close(fd);
}

void say(const std::string& text) {
  std::fprintf(stderr, "%s %s\n", graft::cli::painted(stderr, graft::cli::Ink::bad, "graft:").c_str(), graft::one_line(text).c_str());
}

// What a verb printed is part of what it did: an answer that could not be written is no success. Somebody who has read enough (PIPE) is
// no failure.
int written(int code) {
  errno = 0;
  int number = std::fflush(stdout) == 0 ? 0 : errno;
  // It failed earlier, and nobody kept why; the disk says it again.
  if (number == 0 && std::ferror(stdout)) number = ::write(1, "\n", 1) < 0 ? errno : EIO;
  if (number == 0 || number == EPIPE) return code;
  const bool full = number == ENOSPC || number == EDQUOT;
  say("the output could not be written: " + std::generic_category().message(number) +
      (full ? "; free some space and run it again" : "; check where it goes to"));
  return code != 0 ? code : static_cast<int>(full ? graft::Code::stopped : graft::Code::input);
}

// CLI11's complaint in one line, with the nearest option or verb.
int complain(const CLI::App& app, const CLI::ParseError& e, int argc, char** argv) {
  std::string text = e.what();
  for (char& c : text)
    if (c == '\n') c = ' ';
  std::vector<std::string> names;
  const CLI::App* at = &app;
  for (int i = 1; i < argc; ++i)
    for (const CLI::App* s : at->get_subcommands({}))
      if (s->get_name() == argv[i]) {
        at = s;
        break;
      }
  for (const CLI::App* s : at->get_subcommands({})) names.push_back(s->get_name());
  for (const CLI::Option* o : at->get_options())
    for (const auto& n : o->get_lnames()) names.push_back("--" + n);
  std::string hint;
  bool first = true;
  for (int i = 1; i < argc && hint.empty(); ++i) {
    const std::string word(argv[i], std::strcspn(argv[i], "="));
    bool known = false;
    for (const auto& n : names) known |= n == word;
    if (known || word == at->get_name()) continue;
    // CLI11 asks for the missing verb before it looks at the word that stands in its place
    if (first && dynamic_cast<const CLI::RequiredError*>(&e) && !at->get_subcommands({}).empty()) text = "'" + word + "' is not known here";
    first = false;
    std::vector<std::string_view> views(names.begin(), names.end());
    const std::string near = graft::nearest(word, views);
    if (!near.empty()) hint = "; did you mean " + near + "?";
  }
  say(text + hint);
  return 2;
}

// Each verb takes --color and needs to know nothing of it. It counts from where it stands, for complaints of the words after it too.
void add_color(CLI::App& app, std::string& when) {
  const std::vector<CLI::App*> below = app.get_subcommands([](CLI::App*) { return true; });
  for (CLI::App* verb : below) add_color(*verb, when);
  if (below.empty())
    app.add_flag("--color{always}", when, "colours on the console: always, or --color=never; without it where a terminal reads")
        ->each(graft::cli::set_color)
        ->trigger_on_parse();
}

}  // namespace

int main(int argc, char** argv) {
  hold_streams();
  std::signal(SIGXFSZ, SIG_IGN);  // a file that grows too large is an error of the write
  CLI::App app{"graft: train from scratch or fine-tune, with its own kernels"};
  app.name("graft");
  app.set_version_flag("-V,--version", "graft " GRAFT_VERSION);
  app.require_subcommand(1);
  graft::cli::Action run;
  const graft::cli::Verb program(app, run);
  for (int i = 0; i < argc; ++i) graft::cli::command_line() += (i ? " " : "") + std::string(i ? argv[i] : "graft");
  graft::cli::add_train(program);
  graft::cli::add_compare(program);
  graft::cli::add_advise(program);
  graft::cli::add_tune(program);
  graft::cli::add_eval(program);
  graft::cli::add_data(program);
  graft::cli::add_demo(program);
  graft::cli::add_config(program);
  graft::cli::add_kernels(program);
  graft::cli::add_inspect(program);
  graft::cli::add_import(program);
  graft::cli::add_convert(program);
  graft::cli::add_gradcheck(program);
  graft::cli::add_doctor(program);
  std::string color;
  add_color(app, color);
  try {
    app.parse(argc, argv);
    graft::cli::check_environment();
    return written(run ? run() : 2);
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return written(0);
  } catch (const CLI::CallForVersion&) {
    std::puts("graft " GRAFT_VERSION);
    return written(0);
  } catch (const CLI::ParseError& e) { return complain(app, e, argc, argv); } catch (const graft::Error& e) {
    say(e.what());
    return static_cast<int>(e.code());
  } catch (const std::bad_alloc&) {
    say("out of memory; use a smaller train.batch");
    return 4;
  } catch (const std::system_error& e) {
    if (e.code() == std::errc::resource_unavailable_try_again) {
      say("the system allows no more threads; use fewer: --threads 1 data.workers=0");
      return 2;
    }
    say(std::string(e.what()) + " (a bug in graft: please report it)");
    return 70;
  } catch (const std::exception& e) {
    say(std::string(e.what()) + " (a bug in graft: please report it)");
    return 70;
  }
}
