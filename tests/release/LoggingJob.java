// SPDX-License-Identifier: Apache-2.0
import org.apache.flink.api.common.functions.MapFunction;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A job with a log of its own, as docs/how-to/log-from-an-application.md says. Argument: how many events. */
public class LoggingJob {
    /** Logs each number to the application's log, and prints it. */
    public static class Log implements MapFunction<Long, Long> {
        private static final Logger LOG = LoggerFactory.getLogger("application.orders");

        @Override
        public Long map(Long number) {
            LOG.info("order {} of the application {}", number, "x".repeat(100));
            LOG.debug("nobody asked for this");
            if (number % 100 == 0) {
                LOG.error("order " + number + " failed", new IllegalStateException("boo"));
                System.out.println("printed " + number);
            }
            return number;
        }
    }

    public static void main(String[] words) throws Exception {
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.getExecutionEnvironment();
        environment.setParallelism(1);
        environment.fromSequence(1, Long.parseLong(words[0])).map(new Log()).sinkTo(new DiscardingSink<>());
        environment.execute("logging");
    }
}
