// report.html of graft data check: what was found, with the pictures beside each other.
#include "cli/data.h"
#include "cli/page.h"
#include "engine/base/text.h"

namespace graft::cli {
namespace {

constexpr std::size_t kCases = 20, kPictures = 8;  // shown of a finding, of a case: a page of some megabytes at most

std::string figure(const AuditReport& r, const RawParts& parts, AuditPlace place) {
  const AuditPart& part = parts.pictures[static_cast<std::size_t>(place.part)];
  const auto label = part.data.labels.data<std::int64_t>()[place.index];
  std::string s = "<figure>";
  try {
    s += thumbnail(part.data.image(place.index));
  } catch (const Error&) {  // its message is in the text
  }
  return s + "<figcaption>" + escaped(r.parts[static_cast<std::size_t>(place.part)].name) + ", " +
         escaped(one_line(part.data.class_names[static_cast<std::size_t>(label)])) + "<br><span class=\"quiet\">" +
         escaped(place_text(parts, place)) + "</span></figcaption></figure>";
}

}  // namespace

std::string audit_page(const AuditReport& r, const RawParts& parts, const std::string& title) {
  std::string s = page_head(title) + "<p class=\"quiet\"><code>" + escaped(one_line(command_line())) +
                  "</code></p><div class=\"scroll\"><table><tr><th class=\"t\">part</th><th>" + (parts.table ? "rows" : "pictures") +
                  "</th><th>readable</th></tr>";
  for (const auto& p : r.parts)
    s += "<tr><td class=\"t\">" + escaped(p.name) + "</td><td>" + std::to_string(p.items) + "</td><td>" + std::to_string(p.readable) +
         "</td></tr>";
  s += "</table></div>";
  s += r.findings.empty() ? "<p class=\"better\">Nothing found.</p>" : "<h2>Found</h2><ul>";
  for (const AuditFinding& f : r.findings)
    s += "<li><a href=\"#" + f.kind + "\">" + escaped(f.title) + "</a>: " + std::to_string(f.cases.size()) + "</li>";
  if (!r.findings.empty()) s += "</ul>";
  for (const std::string& n : r.notes) s += "<p class=\"quiet\">" + escaped(n) + "</p>";
  for (const AuditFinding& f : r.findings) {
    s += "<h2 id=\"" + f.kind + "\">" + escaped(f.title) + ": " + std::to_string(f.cases.size()) + "</h2><p class=\"quiet\">" +
         escaped(f.advice) + "</p>";
    for (std::size_t k = 0; k < f.cases.size() && k < kCases; ++k) {
      const AuditCase& c = f.cases[k];
      s += "<p>" + escaped(c.text) + "</p>";
      if (c.places.empty()) continue;
      s += parts.table ? "<p class=\"quiet\">" : "<div class=\"sheet\">";
      for (std::size_t i = 0; i < c.places.size() && i < kPictures; ++i)
        s += parts.table ? (i ? ", " : "") + escaped(place_text(parts, c.places[i])) : figure(r, parts, c.places[i]);
      s += parts.table ? "</p>" : "</div>";
      if (c.places.size() > kPictures) s += "<p class=\"quiet\">and " + std::to_string(c.places.size() - kPictures) + " more</p>";
    }
    if (f.cases.size() > kCases) s += "<p class=\"quiet\">and " + std::to_string(f.cases.size() - kCases) + " more, in report.json</p>";
  }
  return s + "<h2>Classes</h2><div class=\"scroll\"><table><tr><th class=\"t\">class</th>" + [&] {
    std::string head;
    for (const auto& p : r.parts) head += "<th>" + escaped(p.name) + "</th>";
    for (std::size_t k = 0; k < r.classes.size() && k < 1000; ++k) {
      head += "</tr><tr><td class=\"t\">" + escaped(one_line(r.classes[k])) + "</td>";
      for (const auto& p : r.parts) head += "<td>" + std::to_string(p.per_class[k]) + "</td>";
    }
    return head;
  }() + "</tr></table></div></html>\n";
}

}  // namespace graft::cli
