package org.pnda.example;

import java.time.Duration;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.formats.avro.AvroDeserializationSchema;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.pnda.example.avro.Event;

/**
 * Counts PNDA's events per source and minute.
 *
 * <p>Arguments: the brokers, the topic to read, the topic to write. A line of the output is {@code
 * START SOURCE COUNT}, START being the minute's first millisecond since 1970.
 */
public final class CountBySource {
    private static final Duration LATENESS = Duration.ofSeconds(5);
    private static final Duration WINDOW = Duration.ofMinutes(1);
    private static final long CHECKPOINT_MILLIS = 10_000;

    private CountBySource() {}

    public static void main(String[] args) throws Exception {
        if (args.length != 3) {
            throw new IllegalArgumentException("arguments: BROKERS FROM-TOPIC TO-TOPIC");
        }
        StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment();
        env.enableCheckpointing(CHECKPOINT_MILLIS);
        KafkaSource<Event> source =
                KafkaSource.<Event>builder()
                        .setBootstrapServers(args[0])
                        .setTopics(args[1])
                        .setGroupId("count-by-source")
                        .setStartingOffsets(OffsetsInitializer.earliest())
                        .setValueOnlyDeserializer(AvroDeserializationSchema.forSpecific(Event.class))
                        .build();
        KafkaSink<String> sink =
                KafkaSink.<String>builder()
                        .setBootstrapServers(args[0])
                        .setDeliveryGuarantee(DeliveryGuarantee.AT_LEAST_ONCE)
                        .setRecordSerializer(
                                KafkaRecordSerializationSchema.<String>builder()
                                        .setTopic(args[2])
                                        .setValueSerializationSchema(new SimpleStringSchema())
                                        .build())
                        .build();
        count(env.fromSource(source, WatermarkStrategy.noWatermarks(), "events")).sinkTo(sink).name("counts");
        env.execute("count-by-source");
    }

    /** Returns a line per source and minute of {@code events}; kept apart from Kafka, so that it can be tested. */
    static DataStream<String> count(DataStream<Event> events) {
        return events.assignTimestampsAndWatermarks(
                        WatermarkStrategy.<Event>forBoundedOutOfOrderness(LATENESS)
                                .withTimestampAssigner((event, before) -> event.getTimestamp()))
                .name("times")
                .keyBy(Event::getSrc)
                .window(TumblingEventTimeWindows.of(WINDOW))
                .aggregate(new Counter(), new Line())
                .name("count");
    }
}
