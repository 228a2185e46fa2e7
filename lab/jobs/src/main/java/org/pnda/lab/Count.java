package org.pnda.lab;

import org.apache.avro.generic.GenericRecord;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichMapFunction;
import org.apache.flink.metrics.Counter;

/** Passes records on and counts them in PNDA's place for an application's own metrics. */
final class Count extends RichMapFunction<GenericRecord, GenericRecord> {
    private final String component;
    private transient Counter events;

    Count(String component) {
        this.component = component;
    }

    @Override
    public void open(OpenContext context) {
        events =
                getRuntimeContext()
                        .getMetricGroup()
                        .addGroup("application")
                        .addGroup("kpi")
                        .addGroup("lab")
                        .addGroup(component)
                        .counter("events");
    }

    @Override
    public GenericRecord map(GenericRecord event) {
        events.inc();
        return event;
    }
}
