// SPDX-License-Identifier: Apache-2.0
// The Scala shell of Flink 2.x, which has no Scala API any more: the Java DataStream API, and the Table API.
import org.apache.flink.api.common.typeinfo.{TypeInformation, Types}
val env = PndaShell.environment()
val senv = env
lazy val tableEnv = org.apache.flink.table.api.bridge.java.StreamTableEnvironment.create(env)
println(s"""Flink ${org.apache.flink.runtime.util.EnvironmentInformation.getVersion} has no Scala API. `env` (also `senv`) is its
StreamExecutionEnvironment for Java, `tableEnv` its StreamTableEnvironment; a function's result type is
named by `.returns(Types.INT)`. For the Scala API choose a 1.20 in PNDA_FLINK_VERSION. Leave with :quit.""")
