// What is wrong with a data set, before a model learns it: every picture of every part is read once, and kept as two fingerprints.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/data/dataset.h"

namespace graft {

// A part of a data set: train, validation, test.
struct AuditPart {
  std::string name;
  Dataset data;                    // no source: it could not be opened, and `problem` says why
  std::vector<std::string> notes;  // what was left out while it was opened
  std::string problem;
};
struct AuditPlace {
  std::int64_t part = 0, index = 0;  // picture (row, for a table) `index` of part `part`
  auto operator<=>(const AuditPlace&) const = default;
};
struct AuditCase {
  std::string text;                // one line; for pictures that belong together: what they share
  std::vector<AuditPlace> places;  // the pictures it is about, in order; empty where it is about a class, a column or a part
};
struct AuditFinding {
  std::string kind;  // "duplicate_across"; each once
  std::string title, advice;
  std::vector<AuditCase> cases;
};
struct AuditReport {
  struct Part {
    std::string name;
    std::int64_t items = 0, readable = 0;
    std::vector<std::int64_t> per_class;  // of all items, by `classes`
  };
  std::vector<std::string> classes;  // of all parts, those of the first one first
  std::vector<Part> parts;
  std::vector<AuditFinding> findings;  // none: clean
  std::vector<std::string> notes;
  std::int64_t readable() const;
  const AuditFinding* find(const std::string& kind) const;
};
struct AuditOptions {
  // A class with fewer training pictures than this: of one fifth, the usual share to hold out, not one whole picture is left to judge it
  // by.
  std::int64_t few = 5;
  double imbalance = 10;   // largest over smallest class from here on
  bool any_size = false;   // pictures are brought to one size, so that theirs may differ
  std::int64_t bands = 0;  // that they are brought to; 0: none
};
// Called from the auditing thread, every few hundred pictures; may throw to stop.
using AuditProgress = std::function<void(std::int64_t done, std::int64_t total)>;

// Kinds of findings:
//   part, unreadable                      what cannot be opened or decoded, each with its message; the rest is looked at all the same
//   duplicate_across, duplicate_within    the same pixels in two parts (a leak), twice in a part; by XXH3-128 of the decoded picture
//   near_across, near_within              nearly the same (lookalikes.h says what that is)
//   conflict                              the same or nearly the same, with different labels
//   empty_class, class_missing, few, imbalance     classes without pictures, absent from a part, with few training pictures, of very
//   different sizes constant, not_finite, one_pixel, size, bands, depth     one colour all over; NaN or infinity in it; 1 x 1; not like
//   most
// On the pool of current_queue(); the same report for any number of threads. Memory: some 600 bytes per picture, and as many pictures at
// once as there are threads.
AuditReport audit_pictures(const std::vector<AuditPart>& parts, const AuditOptions& options = {}, const AuditProgress& progress = {});

// Which pictures are equal or nearly so: of each the smallest index of its group (its own, where it is alone or cannot be read).
std::vector<std::int64_t> duplicate_groups(const Dataset& d, const AuditProgress& progress = {});

// Labels of all parts by one list of class names: the first part's, then those that only later ones have.
struct SharedClasses {
  std::vector<std::string> names;
  std::vector<std::vector<std::int64_t>> labels;  // [part][item]
};
SharedClasses shared_classes(const std::vector<AuditPart>& parts);
// What classes show by their sizes alone: empty_class, class_missing, few, imbalance. `item`: "picture", "row".
void audit_classes(AuditReport& report, const AuditOptions& options, const std::string& item);

}  // namespace graft
