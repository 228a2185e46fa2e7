package org.pnda.example;

import org.apache.flink.api.common.functions.AggregateFunction;
import org.pnda.example.avro.Event;

/** How many events a window holds. */
final class Counter implements AggregateFunction<Event, Long, Long> {
    private static final long serialVersionUID = 1L;

    @Override
    public Long createAccumulator() {
        return 0L;
    }

    @Override
    public Long add(Event event, Long count) {
        return count + 1;
    }

    @Override
    public Long getResult(Long count) {
        return count;
    }

    @Override
    public Long merge(Long one, Long other) {
        return one + other;
    }
}
