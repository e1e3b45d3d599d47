-- Tells wrk's findings as one line of JSON; latencies are in microseconds.
function done(summary, latency, requests)
   local failed = summary.errors
   io.write(string.format(
      '{"requests":%d,"seconds":%.6f,"p50":%d,"p99":%d,"p999":%d,"max":%d,"failed":%d}\n',
      summary.requests, summary.duration / 1e6,
      latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max,
      failed.connect + failed.read + failed.write + failed.status + failed.timeout))
end
