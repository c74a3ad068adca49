#include "api/metrics.hpp"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include "api/answers.hpp"
#include "api/exchange.hpp"

namespace oddjob::api {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// Figures that the engine counts; read when asked for.
MetricFamily reading(std::string name, std::string help, MetricType type, double value) {
  ClientMetric m;
  (type == MetricType::Counter ? m.counter.value : m.gauge.value) = value;
  return {std::move(name), std::move(help), type, {std::move(m)}};
}

const prometheus::Histogram::BucketBoundaries kBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                                         0.1,   0.25,   0.5,   1,    2.5,   10};

void observe(prometheus::Family<prometheus::Histogram>& family, const prometheus::Labels& labels,
             std::chrono::steady_clock::duration d) {
  family.Add(labels, kBounds).Observe(std::chrono::duration<double>(d).count());
}

}  // namespace

struct Metrics::Impl {
  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& requests = prometheus::BuildCounter()
                                                          .Name("oddjob_http_requests_total")
                                                          .Help("Requests answered.")
                                                          .Register(registry);
  prometheus::Family<prometheus::Histogram>& durations = prometheus::BuildHistogram()
                                                             .Name("oddjob_http_request_duration_seconds")
                                                             .Help("Time to answer, streams left out.")
                                                             .Register(registry);
  prometheus::Family<prometheus::Histogram>& submits =
      prometheus::BuildHistogram()
          .Name("oddjob_submit_duration_seconds")
          .Help(
              "Time to answer a run that was recorded, by who took it: OddJob itself, its database, the API "
              "server.")
          .Register(registry);
  prometheus::Family<prometheus::Counter>& limited = prometheus::BuildCounter()
                                                         .Name("oddjob_requests_limited_total")
                                                         .Help("Requests over a limit, answered with 429.")
                                                         .Register(registry);
  prometheus::Gauge& streams = prometheus::BuildGauge()
                                   .Name("oddjob_http_streams")
                                   .Help("Event streams that are open.")
                                   .Register(registry)
                                   .Add({});
};

Metrics::Metrics(std::string_view version, std::string_view commit) : impl_(std::make_unique<Impl>()) {
  prometheus::BuildGauge()
      .Name("oddjob_build_info")
      .Help("Always 1; says which OddJob this is.")
      .Register(impl_->registry)
      .Add({{"version", std::string(version)}, {"commit", std::string(commit)}})
      .Set(1);
  // There from the start, so that a rate over them is one.
  for (const auto* limit : {"requests", "runs", "unauthenticated"}) impl_->limited.Add({{"limit", limit}});
}
Metrics::~Metrics() = default;

void Metrics::limited(std::string_view limit) {
  impl_->limited.Add({{"limit", std::string(limit)}}).Increment();
}

void Metrics::request(std::string_view route, std::string_view method, int status) {
  impl_->requests
      .Add({{"route", std::string(route)}, {"method", std::string(method)}, {"code", std::to_string(status)}})
      .Increment();
}
void Metrics::duration(std::string_view route, std::chrono::steady_clock::duration d) {
  observe(impl_->durations, {{"route", std::string(route)}}, d);
}
void Metrics::submit(std::chrono::steady_clock::duration own, const runs::Waited& waited) {
  observe(impl_->submits, {{"part", "oddjob"}}, own);
  observe(impl_->submits, {{"part", "database"}}, waited.database);
  observe(impl_->submits, {{"part", "kubernetes"}}, waited.cluster);
}
void Metrics::stream_opened() { impl_->streams.Increment(); }
void Metrics::stream_closed() { impl_->streams.Decrement(); }

std::string Metrics::text(const runs::Engine::Stats& stats, bool ready, const image::Service::Stats* images,
                          const std::vector<Figure>& figures) const {
  auto families = impl_->registry.Collect();
  const auto add = [&](std::string name, std::string help, MetricType type, double value) {
    families.push_back(reading(std::move(name), std::move(help), type, value));
  };
  add("oddjob_runs_active", "Runs that have not ended.", MetricType::Gauge,
      static_cast<double>(stats.active));
  add("oddjob_runs_submitted_total", "Runs that were accepted.", MetricType::Counter,
      static_cast<double>(stats.submitted));
  add("oddjob_runs_refused_total", "Requests that were refused.", MetricType::Counter,
      static_cast<double>(stats.refused));
  add("oddjob_runs_finished_total", "Runs that have ended.", MetricType::Counter,
      static_cast<double>(stats.finished));
  add("oddjob_log_bytes_total", "Bytes of logs followed.", MetricType::Counter,
      static_cast<double>(stats.log_bytes));
  add("oddjob_engine_ready", "1 when the cluster is watched and runs are taken.", MetricType::Gauge,
      ready ? 1 : 0);
  if (images != nullptr) {
    const auto gauge = [&](std::string name, std::string help, std::uint64_t value) {
      add(std::move(name), std::move(help), MetricType::Gauge, static_cast<double>(value));
    };
    const auto counter = [&](std::string name, std::string help, std::uint64_t value) {
      add(std::move(name), std::move(help), MetricType::Counter, static_cast<double>(value));
    };
    gauge("oddjob_image_indexes", "Images whose paths are indexed.", images->images);
    gauge("oddjob_image_layers", "Layers whose paths are kept.", images->layers);
    gauge("oddjob_image_index_bytes", "Bytes of index files.", images->index_bytes);
    gauge("oddjob_image_working", "Images being indexed.", images->working);
    gauge("oddjob_image_queued", "Images that wait to be indexed.", images->queued);
    counter("oddjob_image_indexed_total", "Images that were indexed.", images->indexed);
    counter("oddjob_image_failed_total", "Images that could not be indexed.", images->failed);
    counter("oddjob_image_evicted_total", "Index files dropped to make room.", images->evicted);
    counter("oddjob_image_layers_read_total", "Layers read.", images->layers_read);
    counter("oddjob_image_layers_shared_total", "Layers known from another image.", images->layers_shared);
    counter("oddjob_image_bytes_read_total", "Compressed bytes of layers read.", images->bytes_read);
    counter("oddjob_registry_requests_total", "Requests to registries.", images->registry_requests);
    counter("oddjob_registry_retries_total", "Requests tried again.", images->registry_retries);
    counter("oddjob_registry_resumed_total", "Blobs that were cut and went on.", images->blobs_resumed);
  }
  for (const auto& f : figures)
    add(f.name, f.help, f.counter ? MetricType::Counter : MetricType::Gauge, f.value);
  return prometheus::TextSerializer().Serialize(families);
}

net::Task<Answer> get_metrics(Exchange& x) {
  const auto& engine = x.services.engine;
  const auto* service = x.services.options.images;
  const auto images = service != nullptr ? std::optional(service->stats()) : std::nullopt;
  const auto& ask = x.services.options.figures;
  const auto figures = ask ? ask() : std::vector<Figure>();
  co_return text_response(
      200, x.services.metrics.text(engine.stats(), engine.ready(), images ? &*images : nullptr, figures),
      "text/plain; version=0.0.4; charset=utf-8");
}

}  // namespace oddjob::api
