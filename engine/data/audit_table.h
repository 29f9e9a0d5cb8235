// What is wrong with a table of numbers and categories before a model learns it.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "engine/data/audit.h"
#include "engine/data/table_read.h"

namespace graft {

struct TablePart {
  std::string name;  // "train"; the first part's columns rule
  std::optional<TableText> table;
  std::string problem;  // where there is no table
};
// An AuditPlace is a row's number from 0; a value is a number where all readable values of its column in the first part are, and 1, 1.0 and
// 1e0 are then the same. Kinds of findings:
//   part, columns                         a part that cannot be opened; one with other columns than the first (its rows are not looked at)
//   fields, missing, not_finite           rows with too many or too few fields; without a value; with NaN or infinity
//   not_number, free_text                 a word in a column where nine of ten values are numbers; a column of more than 64 different words
//   duplicate_across, duplicate_within, conflict   rows whose values beside the target are the same: in two parts, in one, with different
//   targets constant_column, label_column         a column with one value in the first part; one whose values stand for the classes one to
//   one (it gives the answer
//                                         away)
//   and those of audit_classes()
// Which rows have equal values beside the target: of each the smallest number of its group. Without such a column all values count.
std::vector<std::int64_t> duplicate_groups(const TableText& table, const std::string& target);

// Error(usage) where the first part has no column `target`, with the nearest name.
AuditReport audit_tables(const std::vector<TablePart>& parts, const std::string& target, const AuditOptions& options = {});

}  // namespace graft
