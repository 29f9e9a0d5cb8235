// Which names a member of an archive may have, for those who read and who write.
#pragma once
#include <string>
#include <string_view>

namespace graft {

// What is wrong with it, to complete "the name ..."; empty where nothing is.
std::string zip_name_fault(std::string_view name);

}  // namespace graft
