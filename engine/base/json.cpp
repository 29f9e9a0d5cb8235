#include "engine/base/json.h"

#include <nlohmann/json.hpp>
#include <vector>

namespace graft {
namespace {
constexpr std::size_t kMostKeys = 50'000, kDeepest = 100;
}

nlohmann::json read_json(const std::string& text) { return nlohmann::json::parse(text, nullptr, false); }

Json read_json_in_order(const std::string& text) {
  std::vector<std::size_t> keys;  // of each object and array that is open
  bool too_much = false;
  Json j = Json::parse(
      text,
      [&](int, Json::parse_event_t e, Json&) {
        switch (e) {
          case Json::parse_event_t::object_start:
          case Json::parse_event_t::array_start: keys.push_back(0); break;
          case Json::parse_event_t::object_end:
          case Json::parse_event_t::array_end: keys.pop_back(); break;
          case Json::parse_event_t::key: ++keys.back(); break;
          case Json::parse_event_t::value: break;
        }
        too_much |= keys.size() > kDeepest || (!keys.empty() && keys.back() > kMostKeys);
        return !too_much;  // what comes after it is read and not kept
      },
      false);
  return too_much ? Json(Json::value_t::discarded) : j;
}

std::string json_text(const Json& j, int indent) { return j.dump(indent, ' ', false, Json::error_handler_t::replace); }
std::string json_ascii(const Json& j, int indent) { return j.dump(indent, ' ', true, Json::error_handler_t::replace); }
std::string json_string(const std::string& text) { return json_text(Json(text), -1); }
std::string json_number(double value) { return json_text(Json(value), -1); }

}  // namespace graft
