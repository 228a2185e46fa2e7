package org.pnda.lab;

import org.apache.avro.Schema;
import org.apache.avro.generic.GenericRecord;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.formats.avro.AvroDeserializationSchema;
import org.apache.flink.formats.avro.AvroSerializationSchema;
import org.apache.flink.formats.avro.typeutils.GenericRecordAvroTypeInfo;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/** Copies what is in the topic {@code --from} to the topic {@code --to}, each record exactly once. */
public final class Copy {
    private static final long CHECKPOINT_MILLIS = 2000;

    private Copy() {}

    public static void main(String[] args) throws Exception {
        Options options = new Options(args);
        Schema schema = PndaEvent.schema();
        StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment();
        env.setParallelism(1);
        env.enableCheckpointing(CHECKPOINT_MILLIS);
        KafkaSource<GenericRecord> source =
                KafkaSource.<GenericRecord>builder()
                        .setBootstrapServers(options.text("bootstrap"))
                        .setProperties(KafkaClients.properties())
                        .setTopics(options.text("from"))
                        .setGroupId("lab-copy-" + options.text("from"))
                        .setStartingOffsets(OffsetsInitializer.earliest())
                        .setBounded(OffsetsInitializer.latest())
                        .setValueOnlyDeserializer(AvroDeserializationSchema.forGeneric(schema))
                        .build();
        KafkaSink<GenericRecord> sink =
                KafkaSink.<GenericRecord>builder()
                        .setBootstrapServers(options.text("bootstrap"))
                        .setKafkaProducerConfig(KafkaClients.producerProperties())
                        .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
                        .setTransactionalIdPrefix("lab-copy-" + options.text("to"))
                        .setRecordSerializer(
                                KafkaRecordSerializationSchema.<GenericRecord>builder()
                                        .setTopic(options.text("to"))
                                        .setValueSerializationSchema(AvroSerializationSchema.forGeneric(schema))
                                        .build())
                        .build();
        env.fromSource(source, WatermarkStrategy.noWatermarks(), "kafka-in", new GenericRecordAvroTypeInfo(schema))
                .map(new Count("copy"))
                .returns(new GenericRecordAvroTypeInfo(schema))
                .name("count")
                .sinkTo(sink)
                .name("kafka-out");
        env.execute("lab-copy");
    }
}
