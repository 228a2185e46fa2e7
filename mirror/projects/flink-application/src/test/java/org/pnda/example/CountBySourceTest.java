package org.pnda.example;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.ByteBuffer;
import java.util.List;
import java.util.TreeSet;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.util.CloseableIterator;
import org.junit.jupiter.api.Test;
import org.pnda.example.avro.Event;

/** Runs the job's own part in a Flink of the test's own; no cluster and no broker is needed. */
class CountBySourceTest {
    private static final long MINUTE = 60_000;

    @Test
    void eventsAreCountedPerSourceAndMinute() throws Exception {
        StreamExecutionEnvironment env = StreamExecutionEnvironment.createLocalEnvironment(1);
        DataStream<Event> events =
                env.fromData(event(0, "a"), event(MINUTE - 1, "a"), event(1, "b"), event(MINUTE, "a"));
        TreeSet<String> lines = new TreeSet<>();
        try (CloseableIterator<String> counts = CountBySource.count(events).executeAndCollect()) {
            counts.forEachRemaining(lines::add);
        }
        assertEquals(new TreeSet<>(List.of("0 a 2", "0 b 1", "60000 a 1")), lines);
    }

    private static Event event(long timestamp, String source) {
        return new Event(timestamp, source, "10.0.0.1", ByteBuffer.allocate(0));
    }
}
