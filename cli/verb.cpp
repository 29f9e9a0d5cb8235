#include "cli/verb.h"

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace graft::cli {

const Option& Option::required() const {
  option_->required();
  return *this;
}
const Option& Option::repeated() const {
  option_->take_all()->allow_extra_args(false);
  return *this;
}
const Option& Option::by_commas() const {
  option_->delimiter(',');
  return *this;
}
const Option& Option::not_empty() const {
  return check([](const std::string& s) { return s.empty() ? std::string("is empty") : std::string(); });
}
const Option& Option::not_negative() const {
  option_->check(CLI::NonNegativeNumber);
  return *this;
}
const Option& Option::between(double lo, double hi) const {
  option_->check(CLI::Range(lo, hi));
  return *this;
}
const Option& Option::check(std::function<std::string(const std::string&)> problem) const {
  option_->check(std::move(problem));
  return *this;
}

Verb Verb::verb(const std::string& name, const std::string& text) const { return {*app_->add_subcommand(name, text), *chosen_}; }
Verb Verb::group(const std::string& name, const std::string& text) const {
  CLI::App* app = app_->add_subcommand(name, text);
  app->require_subcommand(1);
  return {*app, *chosen_};
}

template <class T>
Option Verb::option(const std::string& names, T& value, const std::string& text) const {
  return Option(app_->add_option(names, value, text));
}
template Option Verb::option(const std::string&, std::string&, const std::string&) const;
template Option Verb::option(const std::string&, int&, const std::string&) const;
template Option Verb::option(const std::string&, std::int64_t&, const std::string&) const;
template Option Verb::option(const std::string&, double&, const std::string&) const;
template Option Verb::option(const std::string&, std::optional<std::int64_t>&, const std::string&) const;
template Option Verb::option(const std::string&, std::vector<std::string>&, const std::string&) const;
template Option Verb::option(const std::string&, std::vector<std::int64_t>&, const std::string&) const;

void Verb::flag(const std::string& names, bool& value, const std::string& text) const { app_->add_flag(names, value, text); }
void Verb::describe(const std::string& option, const std::string& text) const { app_->get_option(option)->description(text); }
void Verb::does(Action action) const {
  app_->callback([chosen = chosen_, action = std::move(action)] { *chosen = action; });
}

}  // namespace graft::cli
