#include "cli/trials.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <thread>

#include "engine/base/file.h"
#include "engine/base/json.h"

namespace graft::cli {
namespace fs = std::filesystem;
namespace {

constexpr int kApplication = 0x67726674, kVersion = 1;  // "grft"
constexpr int kLongest = 64 << 20;                      // bytes of a value, whatever the file says
constexpr const char* kTables = R"(
CREATE TABLE study(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE trials(id INTEGER PRIMARY KEY, kind TEXT NOT NULL, configuration INTEGER NOT NULL, rung INTEGER NOT NULL, steps INTEGER NOT NULL, seed INTEGER NOT NULL,
  vals TEXT NOT NULL, state TEXT NOT NULL, worker INTEGER NOT NULL, score REAL, loss REAL, seconds REAL NOT NULL DEFAULT 0, weights_hash TEXT NOT NULL DEFAULT '',
  note TEXT NOT NULL DEFAULT '', correct TEXT NOT NULL DEFAULT '', detail TEXT NOT NULL DEFAULT '', UNIQUE(kind, configuration, rung, seed));
CREATE TABLE workers(id INTEGER PRIMARY KEY AUTOINCREMENT, pid INTEGER NOT NULL);
)";

Error failure(sqlite3* db, const fs::path& file, const std::string& action) {
  const int rc = sqlite3_errcode(db) & 0xff;
  const std::string what = file.string() + ": cannot " + action + ": " + sqlite3_errmsg(db);
  if (rc == SQLITE_FULL) return Error(Code::stopped, what + "; what is finished is kept: make room and resume");
  if (rc == SQLITE_NOTADB || rc == SQLITE_CORRUPT || rc == SQLITE_ERROR)
    return Error(Code::input, what + "; it is damaged or no study of graft: begin a new one");
  if (rc == SQLITE_BUSY || rc == SQLITE_LOCKED) return Error(Code::input, what + "; another program holds it");
  return Error(Code::input, what);
}

Json json_of(const Point& p) {
  Json j = Json::array();
  for (const double v : p) j.push_back(std::isnan(v) ? Json() : Json(v));
  return j;
}

// The byte of the lock file that a worker holds while it lives.
struct flock byte_of(std::int64_t worker, short type) {
  struct flock l {};
  l.l_type = type, l.l_whence = SEEK_SET, l.l_start = worker, l.l_len = 1;
  return l;
}

}  // namespace

struct Trials::Database {
  fs::path file;
  sqlite3* handle = nullptr;

  struct Statement {
    Database& db;
    sqlite3_stmt* s = nullptr;
    int next = 1;
    Statement(Database& d, const char* sql) : db(d) {
      if (sqlite3_prepare_v2(db.handle, sql, -1, &s, nullptr) != SQLITE_OK) throw failure(db.handle, db.file, "read the study");
    }
    ~Statement() { sqlite3_finalize(s); }
    Statement(const Statement&) = delete;
    Statement& bind(std::int64_t v) { return sqlite3_bind_int64(s, next++, v), *this; }
    Statement& bind(double v) { return std::isnan(v) ? sqlite3_bind_null(s, next++) : sqlite3_bind_double(s, next++, v), *this; }
    Statement& bind(const std::string& v) {
      return sqlite3_bind_text(s, next++, v.data(), static_cast<int>(v.size()), SQLITE_TRANSIENT), *this;
    }
    bool row() {
      const int rc = sqlite3_step(s);
      if (rc != SQLITE_ROW && rc != SQLITE_DONE) throw failure(db.handle, db.file, "read or write the study");
      return rc == SQLITE_ROW;
    }
    std::int64_t integer(int c) { return sqlite3_column_int64(s, c); }
    double real(int c) { return sqlite3_column_type(s, c) == SQLITE_NULL ? std::nan("") : sqlite3_column_double(s, c); }
    std::string text(int c) {
      const auto* t = reinterpret_cast<const char*>(sqlite3_column_text(s, c));
      return t ? std::string(t, static_cast<std::size_t>(sqlite3_column_bytes(s, c))) : std::string();
    }
  };

  Database(const fs::path& path, bool create) : file(path) {
    const int rc = sqlite3_open_v2(file.c_str(), &handle, SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0), nullptr);
    try {
      if (rc != SQLITE_OK) throw failure(handle, file, "open the study");
      sqlite3_limit(handle, SQLITE_LIMIT_LENGTH, kLongest);
      sqlite3_busy_timeout(handle, 60000);
      // Two that switch to the log at once: the one that comes second is told "busy" without being let wait.
      for (int tries = 0; sqlite3_exec(handle, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL", nullptr, nullptr, nullptr) != SQLITE_OK;
           ++tries) {
        if ((sqlite3_errcode(handle) & 0xff) != SQLITE_BUSY || tries == 200) throw failure(handle, file, "open the study");
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      }
    } catch (...) {
      sqlite3_close(handle);
      throw;
    }
  }
  ~Database() { sqlite3_close(handle); }

  void run(const char* sql) {
    if (sqlite3_exec(handle, sql, nullptr, nullptr, nullptr) != SQLITE_OK) throw failure(handle, file, "write the study");
  }
  std::int64_t pragma(const char* sql) {
    Statement s(*this, sql);
    return s.row() ? s.integer(0) : 0;
  }
  // All of it or nothing; other processes wait.
  template <class F>
  auto transaction(F&& f) {
    run("BEGIN IMMEDIATE");
    try {
      auto result = f();
      run("COMMIT");
      return result;
    } catch (...) {
      sqlite3_exec(handle, "ROLLBACK", nullptr, nullptr, nullptr);
      throw;
    }
  }

  std::vector<Trial> trials(bool with_right) {
    Statement s(
        *this,
        with_right
            ? "SELECT id,kind,configuration,rung,steps,seed,vals,state,score,loss,seconds,weights_hash,note,detail,correct FROM trials "
              "ORDER BY id"
            : "SELECT id,kind,configuration,rung,steps,seed,vals,state,score,loss,seconds,weights_hash,note,'','' FROM trials ORDER BY id");
    std::vector<Trial> all;
    while (s.row()) {
      Trial t{s.integer(0), s.text(1), s.integer(2), s.integer(3), s.integer(4), s.integer(5), {},        s.text(7),
              s.real(8),    s.real(9), s.real(10),   s.text(11),   s.text(12),   s.text(14),   s.text(13)};
      const auto j = read_json_in_order(s.text(6));
      if (!j.is_array())
        throw Error(Code::input,
                    file.string() + ": trial " + std::to_string(t.id) + " has no values; the study is damaged: begin a new one");
      for (const auto& v : j) t.values.push_back(v.is_number() ? v.get<double>() : std::nan(""));
      all.push_back(std::move(t));
    }
    return all;
  }
};

Trials::Trials(const fs::path& file, const std::map<std::string, std::string>& create) {
  std::error_code ec;
  if (create.empty() && !fs::exists(file, ec))
    throw Error(Code::input, file.string() + ": is not there; name the folder of a study, such as runs/tune-mnist-cnn-1");
  db_ = std::make_unique<Database>(file, !create.empty());
  worker_ = db_->transaction([&] {
    if (!create.empty() && db_->pragma("SELECT count(*) FROM sqlite_master") == 0) {
      db_->run(kTables);
      db_->run(("PRAGMA application_id=" + std::to_string(kApplication) + "; PRAGMA user_version=" + std::to_string(kVersion)).c_str());
      for (const auto& [name, value] : create) Database::Statement(*db_, "INSERT INTO study VALUES(?,?)").bind(name).bind(value).row();
    }
    if (db_->pragma("SELECT count(*) FROM sqlite_master") == 0)
      throw Error(Code::input,
                  file.string() + ": is empty: graft was stopped before the study was made; give the whole command again, with --out");
    if (db_->pragma("PRAGMA application_id") != kApplication)
      throw Error(Code::input, file.string() + ": is no study of graft; name the folder of one");
    if (const auto v = db_->pragma("PRAGMA user_version"); v != kVersion)
      throw Error(Code::input, file.string() + ": is a study of version " + std::to_string(v) + " but this graft knows " +
                                   std::to_string(kVersion) + "; use the graft that made it");
    Database::Statement s(*db_, "SELECT name,value FROM study");
    while (s.row()) study_[s.text(0)] = s.text(1);
    Database::Statement(*db_, "INSERT INTO workers(pid) VALUES(?)").bind(std::int64_t{::getpid()}).row();
    return static_cast<std::int64_t>(sqlite3_last_insert_rowid(db_->handle));
  });
  const fs::path lock = file.parent_path() / "study.lock";
  lock_ = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (lock_ < 0) throw file_error(lock, "open", errno);
  struct flock mine = byte_of(worker_, F_WRLCK);  // of the open file, not of the process: it ends with it and with nothing else
  if (::fcntl(lock_, F_OFD_SETLK, &mine) != 0) {
    const Error e = file_error(lock, "lock", errno);
    ::close(lock_);
    throw e;
  }
}
Trials::~Trials() {
  if (lock_ >= 0) ::close(lock_);
}

NextTrial Trials::claim(const std::function<NextTrial(const std::vector<Trial>&)>& next) {
  return db_->transaction([&] {
    std::vector<Trial> all = db_->trials(false);
    std::map<std::int64_t, std::int64_t> owner;
    for (Database::Statement s(*db_, "SELECT id,worker FROM trials WHERE state='running'"); s.row();) owner[s.integer(0)] = s.integer(1);
    for (Trial& t : all) {
      if (t.state != "running" && t.state != "open") continue;
      if (t.state == "running") {
        struct flock its = byte_of(owner[t.id], F_WRLCK);
        if (owner[t.id] != worker_ && (::fcntl(lock_, F_OFD_GETLK, &its) != 0 || its.l_type != F_UNLCK)) continue;  // it lives
      }
      Database::Statement(*db_, "UPDATE trials SET state='running', worker=? WHERE id=?").bind(worker_).bind(t.id).row();
      t.state = "running";
      return NextTrial{NextTrial::Kind::work, std::move(t)};
    }
    NextTrial n = next(all);
    if (n.kind != NextTrial::Kind::work) return n;
    Trial& t = n.trial;
    Database::Statement(*db_, "INSERT INTO trials(kind,configuration,rung,steps,seed,vals,state,worker) VALUES(?,?,?,?,?,?,'running',?)")
        .bind(t.kind)
        .bind(t.configuration)
        .bind(t.rung)
        .bind(t.steps)
        .bind(t.seed)
        .bind(json_text(json_of(t.values), -1))
        .bind(worker_)
        .row();
    t.id = sqlite3_last_insert_rowid(db_->handle);
    t.state = "running";
    return n;
  });
}

void Trials::finish(const Trial& t) {
  db_->transaction([&] {
    return Database::Statement(
               *db_,
               "UPDATE trials SET state=?,vals=?,score=?,loss=?,seconds=?,weights_hash=?,note=?,correct=?,detail=? WHERE id=? AND worker=?")
        .bind(t.state)
        .bind(json_text(json_of(t.values), -1))
        .bind(t.score)
        .bind(t.loss)
        .bind(t.seconds)
        .bind(t.weights_hash)
        .bind(t.note)
        .bind(t.right)
        .bind(t.detail)
        .bind(t.id)
        .bind(worker_)
        .row();
  });
}
void Trials::give_back(std::int64_t id) {
  db_->transaction([&] {
    return Database::Statement(*db_, "UPDATE trials SET state='open' WHERE id=? AND worker=? AND state='running'")
        .bind(id)
        .bind(worker_)
        .row();
  });
}
void Trials::prune(const std::vector<std::int64_t>& ids) {
  db_->transaction([&] {
    for (const std::int64_t id : ids)
      Database::Statement(*db_, "UPDATE trials SET state='pruned' WHERE id=? AND state='done'").bind(id).row();
    return true;
  });
}
std::vector<Trial> Trials::all() { return db_->trials(true); }

}  // namespace graft::cli
