package org.pnda.example;

import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;

/** Writes a window's count as {@code START SOURCE COUNT}. */
final class Line extends ProcessWindowFunction<Long, String, String, TimeWindow> {
    private static final long serialVersionUID = 1L;

    @Override
    public void process(String source, Context context, Iterable<Long> counts, Collector<String> out) {
        for (long count : counts) {
            out.collect(context.window().getStart() + " " + source + " " + count);
        }
    }
}
