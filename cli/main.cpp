// graft: one binary, one verb per file. Errors become one line on stderr and an exit code here and nowhere else.
#include <cstdio>
#include <cstring>
#include <new>

#include "cli/common.h"

namespace {

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
  std::fprintf(stderr, "graft: %s%s\n", text.c_str(), hint.c_str());
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"graft: train from scratch or fine-tune, with its own kernels"};
  app.name("graft");
  app.set_version_flag("-V,--version", "graft " GRAFT_VERSION);
  app.require_subcommand(1);
  graft::cli::Action run;
  for (int i = 0; i < argc; ++i) graft::cli::command_line() += (i ? " " : "") + std::string(i ? argv[i] : "graft");
  graft::cli::add_train(app, run);
  graft::cli::add_compare(app, run);
  graft::cli::add_advise(app, run);
  graft::cli::add_tune(app, run);
  graft::cli::add_eval(app, run);
  graft::cli::add_data(app, run);
  graft::cli::add_demo(app, run);
  graft::cli::add_config(app, run);
  graft::cli::add_kernels(app, run);
  graft::cli::add_inspect(app, run);
  graft::cli::add_import(app, run);
  graft::cli::add_convert(app, run);
  graft::cli::add_gradcheck(app, run);
  graft::cli::add_doctor(app, run);
  try {
    app.parse(argc, argv);
    return run ? run() : 2;
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return 0;
  } catch (const CLI::CallForVersion&) {
    std::puts("graft " GRAFT_VERSION);
    return 0;
  } catch (const CLI::ParseError& e) { return complain(app, e, argc, argv); } catch (const graft::Error& e) {
    std::fprintf(stderr, "graft: %s\n", e.what());
    return static_cast<int>(e.code());
  } catch (const std::bad_alloc&) {
    std::fputs("graft: out of memory; use a smaller train.batch\n", stderr);
    return 4;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "graft: %s (a bug in graft: please report it)\n", e.what());
    return 70;
  }
}
