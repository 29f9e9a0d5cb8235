// A verb of the command line and what it takes, as the files of this room declare them. CLI11 is behind it and read in verb.cpp and
// main.cpp alone: it is one large header, five seconds of compiling wherever it is included.
#pragma once
#include <functional>
#include <string>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace graft::cli {

using Action = std::function<int()>;  // what a verb does; its result is the exit code

// One option or positional, to say more of it.
class Option {
 public:
  explicit Option(CLI::Option* option) : option_(option) {}
  const Option& required() const;
  const Option& repeated() const;   // it may come several times, with one value each
  const Option& by_commas() const;  // values with commas between them
  const Option& not_empty() const;  // an empty shell variable, mostly: what it should have held is not guessed
  const Option& not_negative() const;
  const Option& between(double lo, double hi) const;
  // Says what is wrong with a value, or nothing; the option's name is put before it.
  const Option& check(std::function<std::string(const std::string&)> problem) const;

 private:
  CLI::Option* option_;
};

// Values are written into variables while the command line is read: they must outlive it, so an action holds them in shared_ptrs.
class Verb {
 public:
  Verb(CLI::App& app, Action& chosen) : app_(&app), chosen_(&chosen) {}
  Verb verb(const std::string& name, const std::string& text) const;   // one below this one
  Verb group(const std::string& name, const std::string& text) const;  // one that only has verbs below it
  // "--name", "-n,--name" or, for a positional, "name". T: std::string, int, std::int64_t, double, std::optional<std::int64_t>, or a
  // std::vector of std::string or std::int64_t.
  template <class T>
  Option option(const std::string& names, T& value, const std::string& text) const;
  void flag(const std::string& names, bool& value, const std::string& text) const;
  void describe(const std::string& option, const std::string& text) const;  // another text for an option that this verb has
  void does(Action action) const;                                           // where this verb was called, `action` is what the program does

 private:
  CLI::App* app_;
  Action* chosen_;
};

}  // namespace graft::cli
