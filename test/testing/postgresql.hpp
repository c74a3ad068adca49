// A real PostgreSQL, started once a test program (postgresql.sh), and databases
// in it that no other test sees.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

namespace oddjob::testing {

// One connection, for what the store does not do.
class PgConnection {
 public:
  explicit PgConnection(const std::string& url) : c_(PQconnectdb(url.c_str())) {
    PQsetNoticeProcessor(
        c_, [](void*, const char*) {}, nullptr);
  }
  ~PgConnection() { PQfinish(c_); }
  PgConnection(const PgConnection&) = delete;
  PgConnection& operator=(const PgConnection&) = delete;
  [[nodiscard]] bool connected() const { return PQstatus(c_) == CONNECTION_OK; }
  // Empty, or the server's complaint.
  std::string exec(const std::string& sql) {
    PGresult* r = PQexec(c_, sql.c_str());
    const auto status = PQresultStatus(r);
    std::string out =
        status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ? std::string() : PQerrorMessage(c_);
    PQclear(r);
    return out;
  }
  std::string one(const std::string& sql) {
    PGresult* r = PQexec(c_, sql.c_str());
    std::string out;
    if (PQresultStatus(r) == PGRES_TUPLES_OK && PQntuples(r) > 0) out = PQgetvalue(r, 0, 0);
    PQclear(r);
    return out;
  }

 private:
  PGconn* c_;
};

class Postgres {
 public:
  // The program's own; ends with it.
  static Postgres& instance() {
    // Durability has a server of its own.
    static Postgres server({"-c", "fsync=off"});
    return server;
  }
  explicit Postgres(std::vector<std::string> options = {}) : options_(std::move(options)) {
    std::string t = (std::filesystem::temp_directory_path() / "oddjob-pg-XXXXXX").string();
    folder_ = ::mkdtemp(t.data());
    start();
  }
  ~Postgres() {
    stop(SIGQUIT);  // nobody needs what is in it
    std::error_code ec;
    std::filesystem::remove_all(folder_, ec);
  }
  Postgres(const Postgres&) = delete;
  Postgres& operator=(const Postgres&) = delete;

  // SIGINT: as an operator stops it; SIGQUIT: as if its machine lost power, but for the disk.
  void stop(int signal) {
    if (pid_ <= 0) return;
    ::kill(pid_, signal);
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
  }
  void start() {
    pid_ = ::fork();
    if (pid_ == 0) {
      const std::string script = ODDJOB_SOURCE_DIR "/test/testing/postgresql.sh";
      std::vector<char*> argv = {const_cast<char*>(script.c_str()), folder_.data()};
      for (auto& o : options_) argv.push_back(o.data());
      argv.push_back(nullptr);
      const int log = ::open((folder_ + "/log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
      ::dup2(log, 1);
      ::dup2(log, 2);
      ::execv(script.c_str(), argv.data());
      ::_exit(127);
    }
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!PgConnection(url("postgres")).connected()) {
      int status = 0;
      const bool ended = ::waitpid(pid_, &status, WNOHANG) == pid_;
      if (ended || std::chrono::steady_clock::now() > until) {
        if (ended) pid_ = -1;
        ADD_FAILURE() << "PostgreSQL did not start; see " << folder_ << "/log";
        std::_Exit(1);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }
  [[nodiscard]] std::string url(const std::string& database) const {
    return "postgresql://postgres@/" + database + "?host=" + folder_;
  }
  // A new, empty schema: to OddJob a database of its own, and quickly made.
  std::string fresh() {
    const std::string name = "t" + std::to_string(++count_);
    PgConnection admin(url("postgres"));
    EXPECT_EQ(admin.exec("CREATE SCHEMA " + name), "");
    return url("postgres") + "&options=-csearch_path%3D" + name;
  }

 private:
  std::vector<std::string> options_;
  std::string folder_;
  pid_t pid_ = -1;
  int count_ = 0;
};

}  // namespace oddjob::testing
